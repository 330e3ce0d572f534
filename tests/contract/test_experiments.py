"""Every experiment that ships is well-formed, fits its published schema, and is able to fail."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from harness.experiment import describes
from harness.items import is_experiment
from harness.loading import load_experiment
from harness.schemas import experiment_schema
from harness.sources import Sources

ROOT = Path(__file__).resolve().parents[2]
FILES = [file for file in sorted((ROOT / "experiments").rglob("*.yaml")) if is_experiment(file)]
PROMISES = {"self_healing", "autoscaling", "rollouts", "state", "nodes"}


def test_every_promise_has_an_experiment() -> None:
    assert {file.parent.name for file in FILES} >= PROMISES
    assert len({yaml.safe_load(file.read_text())["metadata"]["name"] for file in FILES}) == len(FILES)


def test_nothing_but_experiments_and_workloads_stands_in_the_folder() -> None:
    others = set((ROOT / "experiments").rglob("*.yaml")) - set(FILES)
    assert [file for file in others if "workloads" not in file.parts] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_well_formed_named_as_its_file_and_can_fail(file: Path) -> None:
    """What cannot fail proves nothing: each has a twin that changes the workload and names what must break."""
    experiment = load_experiment(file, Sources.for_root(ROOT))
    assert experiment.name == file.stem
    assert experiment.twins
    for name, twin in experiment.twins.items():
        patched = experiment.as_twin(name)
        assert patched.workload.objects != experiment.workload.objects
        assert twin.because, f"{name} does not say what it leaves out"
        broken = [
            objective for objective in experiment.objectives for each in twin.breaks if describes(objective, each)
        ]
        assert broken


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_fits_the_schema_that_editors_use(file: Path) -> None:
    jsonschema.Draft202012Validator(experiment_schema()).validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(("old", "new"), [("faults:", "fault:"), ("count:", "cuont:"), ("- podKill:", "- podKil:")])
def test_the_schema_refuses_a_misspelt_key(old: str, new: str) -> None:
    text = (ROOT / "experiments" / "self_healing" / "one-pod-killed.yaml").read_text()
    wrong = text.replace(old, new)
    assert wrong != text
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(experiment_schema()).validate(yaml.safe_load(wrong))
