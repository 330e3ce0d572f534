"""The fields of a locustfile: which of them fit together."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.experiment.load import Load


def load(**fields: object) -> Load:
    return Load.model_validate({"target": "service/shop"} | fields)


def problems(**fields: object) -> list[tuple[str, str]]:
    return [(problem.field, problem.message) for problem in load(**fields).own_problems()]


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"rate": 5, "users": 3}, "users", "without a locustfile"),
        ({"rate": 5, "excludeTags": ["a"]}, "exclude_tags", "excludeTags without a locustfile"),
        ({"locustfile": "x.py", "users": 3, "rate": 5}, "users", "both users and rate"),
        ({"locustfile": "x.py", "shape": "S", "rate": 5}, "shape", "both shape and rate"),
        ({"locustfile": "x.py", "spawnRate": 5}, "spawn_rate", "spawnRate without users"),
        ({"locustfile": "x.py", "users": 1, "maxUsers": 5}, "max_users", "maxUsers without rate"),
        ({"locustfile": "x.py", "users": 1, "tags": ["a"], "excludeTags": ["a"]}, "tags", "in tags and in excludeTags"),
        ({"locustfile": "x.py", "users": 1, "behaviour": "http"}, "behaviour", "both a behaviour and a locustfile"),
        ({"locustfile": "x.py", "users": 1, "profile": "ramp"}, "profile", "a profile without rate"),
        ({"locustfile": "x.py", "users": 1, "workers": 2}, "workers", "one process"),
        ({"locustfile": "x.py", "users": 1, "from": "cluster"}, "from", "runs on this machine"),
    ],
)
def test_fields_that_do_not_fit_together(fields: dict[str, object], field: str, message: str) -> None:
    ((found, text),) = problems(**fields)
    assert found == field
    assert message in text


@pytest.mark.parametrize(
    ("fields", "model", "described"),
    [
        ({"rate": "50/s"}, "open", "steady at 50/s"),
        ({"locustfile": "load/x.py", "users": 3}, "closed", "x.py: 3 users"),
        ({"locustfile": "x.py", "shape": "Steps"}, "closed", "x.py: the shape Steps"),
        ({"locustfile": "x.py"}, "closed", "x.py: the shape of the locustfile"),
        ({"locustfile": "x.py", "rate": "5/s", "profile": "ramp", "maxUsers": 9}, "open", "x.py: ramp at 5/s"),
    ],
)
def test_a_load_is_open_with_a_rate_and_closed_with_users(
    fields: dict[str, object], model: str, described: str
) -> None:
    found = load(**fields)
    assert found.own_problems() == []
    assert (found.model, found.described) == (model, described)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"locustfile": ""},
        {"locustfile": "x.py", "users": 0},
        {"locustfile": "x.py", "users": "3"},
        {"users": 99999},
    ],
)
def test_no_load_without_a_rate_or_users(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        load(**fields)


def test_paths_are_beside_the_experiment_and_links_are_kept(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to("/usr/bin/env")
    found = load(locustfile="load/x.py", users=1, python="python").located(tmp_path)
    assert found.locustfile == str(tmp_path / "load/x.py")
    assert found.python == str(tmp_path / "python")


def test_the_users_need_time_to_start() -> None:
    assert load(locustfile="x.py", users=100, spawnRate=4).ramp_up == 25
    assert load(locustfile="x.py", users=100).ramp_up == 10
    assert load(locustfile="x.py", rate=5).ramp_up == 0
