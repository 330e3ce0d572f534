"""How long a phase is: one time or a range, in files, in the JSON schema and in words."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from harness.experiment.json_schema import experiment_schema
from harness.experiment.phases import Length, Phases
from tests.fake_run import EXPERIMENT, write_workload
from tests.unit.experiment.test_loading import load, problems

RANGE = "fault: {atLeast: 2s, atMost: 25s}"


def test_range_is_read_from_a_file(tmp_path: Path) -> None:
    write_workload(tmp_path)
    phases = load(tmp_path, EXPERIMENT.replace("fault: 2s", RANGE)).phases
    assert phases.fault == Length(at_least=2, at_most=25)
    assert str(phases.length("fault")) == "2 s to 25 s"
    assert phases.total == phases.baseline + 25 + phases.recovery + phases.settle


def test_plain_duration_has_no_choice(tmp_path: Path) -> None:
    write_workload(tmp_path)
    phases = load(tmp_path, EXPERIMENT).phases
    assert phases.fault.fixed
    assert [str(length) for length in phases.lengths().values()][:2] == ["1 s", "2 s"]
    assert str(phases.length("recovery")).startswith("at most ")


@pytest.mark.parametrize(
    ("fault", "place", "message"),
    [
        ("{atLeast: 9s, atMost: 4s}", "phases.fault", "found atMost: 4 s below atLeast: 9 s, expected atMost to be"),
        ("{atLeast: 9s}", "phases.fault.atMost", "missing"),
        ("{atLeast: 9s, atMost: 12s, until: 1s}", "phases.fault.until", "unknown key"),
        ("{atLeast: 9, atMost: 12s}", "phases.fault.atLeast", "found 9, expected a duration with its unit"),
        ("[2s]", "phases.fault", "expected a finite duration such as 20s, or {atLeast: 10s, atMost: 25s}"),
        (".inf", "phases.fault", "found .inf, expected a finite number"),
        ("soon", "phases.fault", "found 'soon', expected a duration"),
        ("true", "phases.fault", "found true"),
        ("-1s", "phases.fault", "expected a duration of at least 0s"),
        ("7", "phases.fault", "found 7, expected a duration with its unit"),
    ],
)
def test_wrong_length_is_one_clear_error(tmp_path: Path, fault: str, place: str, message: str) -> None:
    write_workload(tmp_path)
    (problem,) = problems(tmp_path, EXPERIMENT.replace("fault: 2s", f"fault: {fault}"))
    assert f": {place}: " in problem
    assert message in problem


def test_schema_accepts_both() -> None:
    schema = experiment_schema()
    part = {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": "#/$defs/Phases"}
    validator = jsonschema.Draft202012Validator(part)
    given = ["20s", {"atLeast": "10s", "atMost": "25s"}, {"atLeast": "10s"}, {"longest": "9s"}]
    assert [validator.is_valid({"fault": fault}) for fault in given] == [True, True, False, False]


def test_measurement_counts_on_the_shortest_length() -> None:
    phases = Phases(fault=Length(at_least=4, at_most=9), recovery=30)
    assert [phases.measured(name) for name in ("fault", "recovery", "settle")] == [4, 30, 5]
