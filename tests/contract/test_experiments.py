"""Every experiment that ships is well-formed, fits its published schema, and is able to fail."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from harness.experiment.declaration import describes
from harness.experiment.files import game_day_files, is_experiment
from harness.experiment.json_schema import experiment_schema
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.gameday.json_schema import game_day_schema
from harness.gameday.loading import load_game_day
from harness.gameday.selection import experiments_of

ROOT = Path(__file__).resolve().parents[2]
FILES = [file for file in sorted((ROOT / "experiments").rglob("*.yaml")) if is_experiment(file)]
DAYS = game_day_files(ROOT / "experiments")
PROMISES = {"self_healing", "autoscaling", "rollouts", "disruption", "state", "nodes", "observability"}
AUTOSCALED = {file.stem for file in FILES if file.parent.name == "autoscaling"}
# Scaled by a fault.
BY_HAND = {"sessions-scaled-out"}
# Scaled by KEDA.
EXTERNAL = {"queue-worker-from-zero"}
CUSTOM = {"object-metric-scales-out", "pods-metric-scales-out"}


def _place(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_every_promise_has_an_experiment() -> None:
    without = sorted(PROMISES - {file.parent.name for file in FILES})
    assert not without, f"experiments/: no experiment in {', '.join(f'{name}/' for name in without)}"
    names: dict[str, list[str]] = {}
    for file in FILES:
        names.setdefault(yaml.safe_load(file.read_text())["metadata"]["name"], []).append(_place(file))
    twice = {name: files for name, files in names.items() if len(files) > 1}
    assert not twice, f"metadata.name must be unique in the catalogue: {twice}"


def test_folder_holds_only_experiments_and_workloads() -> None:
    others = set((ROOT / "experiments").rglob("*.yaml")) - set(FILES) - set(DAYS)
    strays = sorted(_place(file) for file in others if "workloads" not in file.parts)
    assert not strays, f"not an experiment (apiVersion, kind) and not in experiments/workloads/: {', '.join(strays)}"


TWIN = """\
each experiment of the catalogue needs a twin, a broken copy of its workload that must come out BROKEN. Add for example:

twins:
  one-replica:
    because: with one replica nothing serves while the pod is replaced
    patch:
      deployment/podinfo: {spec: {replicas: 1}}
    breaks: [availability]
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_experiment_is_valid_named_as_its_file_and_can_fail(file: Path) -> None:
    """What cannot fail proves nothing: each has a twin that changes the workload and names what must break."""
    experiment, place = load_experiment(file, Sources.for_root(ROOT)), _place(file)
    expected = f"expected {file.stem}, the name of its file"
    assert experiment.name == file.stem, f"{place}: metadata.name: found {experiment.name}, {expected}"
    if not experiment.twins:
        pytest.fail(f"{place}: no twins: {TWIN}", pytrace=False)
    for name, twin in experiment.twins.items():
        same = experiment.as_twin(name).workload.objects == experiment.workload.objects
        assert not same, f"{place}: twins.{name}.patch changes nothing in the workload"
        assert twin.because, f"{place}: twins.{name}: add `because`, what this twin lacks and so must fail"
        broken = [
            objective for objective in experiment.objectives for each in twin.breaks if describes(objective, each)
        ]
        assert broken, f"{place}: twins.{name}.breaks: found {list(twin.breaks)}, expected one of its objectives"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_probers_send_what_users_send(file: Path) -> None:
    """A process that shuts down fails its readiness probe and still serves, so that path would show a false outage."""
    experiment = load_experiment(file, Sources.for_root(ROOT))
    text = json.dumps(experiment.workload.objects)
    asked = {path for path in re.findall(r'"path": "(/[^"]*)"', text) if path != "/"}
    same = sorted({probing.http.path for probing in experiment.prober if probing.http} & asked)
    assert not same, f"{_place(file)}: prober: {', '.join(same)} is a path of the containers' probes, use one of users"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_experiment_fits_the_schema_for_editors(file: Path) -> None:
    jsonschema.Draft202012Validator(experiment_schema()).validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize("file", DAYS, ids=lambda file: file.stem)
def test_game_day_is_valid_and_named_as_its_file(file: Path) -> None:
    day = load_game_day(file)
    assert (day.name, file.parent.name) == (file.stem, "gamedays")
    assert experiments_of(day, lambda path: load_experiment(path, Sources.for_root(ROOT)))
    jsonschema.Draft202012Validator(game_day_schema()).validate(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(("old", "new"), [("faults:", "fault:"), ("count:", "cuont:"), ("- podKill:", "- podKil:")])
def test_the_schema_refuses_a_misspelt_key(old: str, new: str) -> None:
    text = (ROOT / "experiments" / "self_healing" / "one-pod-killed.yaml").read_text()
    wrong = text.replace(old, new)
    assert wrong != text
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(experiment_schema()).validate(yaml.safe_load(wrong))


@pytest.mark.parametrize(
    ("capabilities", "names"),
    [
        ("[metrics-server]", AUTOSCALED - BY_HAND - EXTERNAL - CUSTOM),
        ("[external-metrics]", EXTERNAL),
        ("[custom-metrics]", CUSTOM),
        ("[node-network]", {"node-cut-off"}),
        ("[node-power, node-network]", {"node-cut-off", "node-frozen", "node-stopped", "scale-out-without-a-node"}),
    ],
)
def test_game_day_selects_by_capability(tmp_path: Path, capabilities: str, names: set[str]) -> None:
    file = tmp_path / "day.yaml"
    text = "apiVersion: resilience/v1\nkind: GameDay\nmetadata: {name: day}\nhypothesis: It holds.\n"
    file.write_text(f"{text}experiments: {{paths: [{ROOT / 'experiments'}], capabilities: {capabilities}}}\n")
    found = experiments_of(load_game_day(file), lambda path: load_experiment(path, Sources.for_root(ROOT)))
    assert {each.name for each in found} == names
