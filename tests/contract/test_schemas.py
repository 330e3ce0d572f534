"""The published schema of results.json is the one that the records are made by, and real records fit it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from harness.results.record import SCHEMA_VERSION, RunRecord
from harness.results.reporting.schema import results_schema
from tests.fake_run import Stage


def test_a_run_that_took_place_fits_the_schema(tmp_path: Path) -> None:
    record = Stage(tmp_path).play()
    run = RunRecord(run="run1", started="2026-01-01T00:00:00Z", seed=1, harness="0", experiments=[record])
    validator = jsonschema.Draft202012Validator(results_schema())
    data = json.loads(run.model_dump_json())
    validator.validate(data)
    data["experiments"][0]["verdcit"] = "HELD"
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(data)


def test_schema_states_its_version() -> None:
    assert SCHEMA_VERSION in json.dumps(results_schema()["properties"]["schema_version"])
