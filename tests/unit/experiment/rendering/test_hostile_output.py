"""Rendered texts and declarations of any content: a workload comes out, or an InputError that can be printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import ValidationError

from harness.common.errors import InputError
from harness.experiment.rendering import rendered
from harness.experiment.rendering.programs import Program, ProgramMissing
from harness.experiment.rendering.rendered import workload_from
from harness.experiment.workload_source import WorkloadSource
from tests.unit.experiment.rendering.programs import project, write

SCALARS = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.text(max_size=8)
    | some.sampled_from(["v1", "ConfigMap", "List", "..", "/", "a\0b", "${image:x}", "helm.sh/hook", "test", "oci://a"])
)
KEYS = some.text(max_size=8) | some.sampled_from(
    ["apiVersion", "kind", "metadata", "name", "namespace", "annotations", "items", "spec", "data", "helm.sh/hook"]
)
VALUES = some.recursive(
    SCALARS, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
PARTS = some.one_of(
    some.sampled_from(
        ["---\n", "\n--- \n", "# Source: shop/templates/a.yaml\n", "# Source: ../../x\n", "# Source: \0\n"]
    ),
    VALUES.map(lambda value: f"{json.dumps(value)}\n"),
    some.text(max_size=20),
)


@dataclass(frozen=True, slots=True)
class Prints(Program):
    """A program that renders a given text."""

    text: str = ""

    def run(self, *arguments: str, network: bool = False, seconds: float = 0.0) -> tuple[str, str]:
        del arguments, network, seconds
        return self.text, ""


def place(root: Path) -> Path:
    write(
        root, {"charts/shop/Chart.yaml": "name: shop\nversion: 1.2.0\n", "deploy/kustomization.yaml": "resources: []\n"}
    )
    return root


def attempt(root: Path, source: Any, monkeypatch: pytest.MonkeyPatch, program: Program | None) -> None:
    """Render, and check that what is raised can be printed."""

    def find(_names: object, _progress: object) -> Program:
        if program is None:
            raise ProgramMissing("found no program")
        return program

    monkeypatch.setattr(rendered, "find", find)
    try:
        declared = WorkloadSource.model_validate(source)
    except ValidationError:
        return
    if declared.live:
        return
    found: Sequence[object]
    try:
        found = workload_from(declared, "first", project(root)).objects
    except InputError as error:
        found = error.problems
        str(error).encode()
    assert found


@settings(max_examples=150, deadline=None)
@given(some.lists(PARTS, max_size=6).map("".join), some.sampled_from(["helm", "kustomize"]))
def test_any_output_is_a_workload_or_a_problem(tmp_path_factory: pytest.TempPathFactory, text: str, kind: str) -> None:
    root = place(tmp_path_factory.getbasetemp() / "output")
    source = {"helm": {"chart": "../charts/shop"}} if kind == "helm" else {"kustomize": "../deploy"}
    with pytest.MonkeyPatch.context() as patch:
        attempt(root, source, patch, Prints("helm", Path("/helm"), "v9.8.7", text))


FIELDS = some.dictionaries(
    some.sampled_from(["chart", "version", "values", "set", "release", "kubeVersion", "apiVersions", "other"]),
    VALUES | some.just("../charts/shop") | some.lists(some.just("../charts/shop/Chart.yaml"), max_size=2),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(
    FIELDS.map(lambda fields: {"helm": {"chart": "../charts/shop", **fields}}) | VALUES.map(lambda v: {"kustomize": v})
)
def test_any_declaration_is_a_workload_or_a_problem(tmp_path_factory: pytest.TempPathFactory, source: Any) -> None:
    root = place(tmp_path_factory.getbasetemp() / "declared")
    with pytest.MonkeyPatch.context() as patch:
        attempt(root, source, patch, None)
