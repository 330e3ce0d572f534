"""Experiment files of any content: an experiment comes out, or an InputError that can be printed, and nothing else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from harness.common.errors import InputError
from harness.experiment.declaration import Experiment
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from tests.fake_run import EXPERIMENT, write_project

# Whatever may stand anywhere, with what has a meaning somewhere.
SCALARS = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text(max_size=8)
    | some.sampled_from(
        ["1s", "-1s", "1e999s", "50/s", "99%", "..", "/", "a\0b", "\ud800", "deployment/shop", "app=shop"]
    )
    | some.sampled_from(
        ["podKill", "recoveryTime", "availability", "${image:podinfo}", "9" * 90, "<<", "~", "[", "!!x"]
    )
)
VALUES = some.recursive(
    SCALARS, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3)
)
WHOLE = yaml.safe_load(EXPERIMENT)


def places(data: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a structure below its top."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in pairs for place in ((*at, key), *places(value, (*at, key)))]


@some.composite
def changed(draw: some.DrawFn) -> dict[str, Any]:
    """A good experiment, of which a few fields have another value, are gone, or have another name."""
    data = copy.deepcopy(WHOLE)
    for _ in range(draw(some.integers(1, 3))):
        *way, last = draw(some.sampled_from(places(data)))
        parent: Any = data
        for key in way:
            parent = parent[key]
        match draw(some.sampled_from(["value", "gone", "name"])):
            case "value":
                parent[last] = draw(VALUES)
            case "gone":
                del parent[last]
            case _ if isinstance(parent, dict):
                parent[draw(some.text(max_size=8))] = parent.pop(last)
        if not data:
            break
    return data


def load(root: Path, content: bytes) -> Experiment | InputError:
    file = write_project(root)
    file.write_bytes(content)
    try:
        return load_experiment(file, Sources.for_root(root))
    except InputError as error:
        return error


def check(found: Experiment | InputError) -> None:
    if isinstance(found, InputError):
        assert found.problems
        assert str(found).encode()
        assert all(problem.message for problem in found.problems)


@settings(max_examples=150, deadline=None)
@given(changed())
def test_a_changed_experiment_is_one_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    # JSON is YAML, and writes half of a character as an escape.
    check(load(tmp_path_factory.getbasetemp() / "changed", json.dumps(data).encode()))


@settings(max_examples=60, deadline=None)
@given(some.integers(0, len(EXPERIMENT)), some.integers(0, 40), some.binary(max_size=12))
def test_a_spoilt_file_is_an_experiment_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, at: int, gone: int, instead: bytes
) -> None:
    content = EXPERIMENT.encode()
    check(load(tmp_path_factory.getbasetemp() / "spoilt", content[:at] + instead + content[at + gone :]))
