"""Every objective in the folder keeps the contract: found by its place, pure, frozen, and never HELD out of nothing."""

from __future__ import annotations

import ast
import copy
import inspect
import math
from pathlib import Path

import pytest
from pydantic import ValidationError

import harness.objectives
from harness.objective import Objective
from harness.observation import Injection, Interval, LoadSummary, Observation, Phase, RequestSeen, Timeline, Victim
from harness.registry import objectives
from harness.verdict import Verdict

FOLDER = Path(harness.objectives.__path__[0])
MODULES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))

# One good declaration of each kind, as it stands in an experiment.
EXAMPLES: dict[str, dict[str, object]] = {
    "availability": {"min": "99%"},
    "durability": {},
    "errorRate": {"max": "1%", "kinds": ["5xx", "timeout"]},
    "identity": {"of": "statefulset/etcd", "within": "60s"},
    "invariant": {"of": "deployment/podinfo", "available": ">= 2", "total": "<= desired + 1"},
    "latency": {"share": "95%", "below": "200ms"},
    "prometheus": {"name": "no 5xx", "good": "sum(a)", "total": "sum(b)", "min": "99%", "noData": "inconclusive"},
    "recoveryTime": {"of": "deployment/podinfo", "max": "20s", "clocks": ["user", "endpoints", "controlPlane"]},
    "replicas": {"of": "hpa/podinfo", "reaches": 3, "within": "60s", "neverAbove": 4, "neverBelow": 1},
    "restarts": {"of": "deployment/podinfo", "min": 1, "max": 1, "onlyVictims": True},
    "rolledBack": {"of": "deployment/podinfo", "within": "30s"},
    "rolloutHalts": {"of": "deployment/podinfo", "within": "40s", "minAvailable": 3, "maxTotal": 4},
}


def example(kind: str) -> Objective:
    return objectives()[kind](**EXAMPLES[kind])


def empty() -> Timeline:
    return Timeline(0.0, 1_700_000_000.0)


def phases_only() -> Timeline:
    """All phases took place, the fault is proven, and nobody saw anything."""
    timeline = empty()
    for number, name in enumerate(("baseline", "fault", "recovery", "settle")):
        timeline.phases.append(Phase(name, number * 10.0, number * 10.0 + 10))
    victims = (Victim("Pod", "podinfo-a", "a"), Victim("Pod", "etcd-0", "e"))
    timeline.injections.append(Injection("podKill", victims, Interval(10, 10.1), Interval(20, 20.1), proven=True))
    timeline.load = LoadSummary()
    return timeline


def errors_only() -> Timeline:
    """Every series holds nothing but errors."""
    timeline = phases_only()
    for series in ("pods", "endpoints", "workloads", "autoscalers", "identity", "readable", "prometheus"):
        for subject in ("", "hpa/podinfo", "deployment/podinfo", "etcd-0", "no 5xx"):
            timeline.add(Observation(series, subject, 15.0, None, "connection lost"))
    return timeline


def nonsense() -> Timeline:
    """Values that are no numbers, and a load that says nothing."""
    timeline = phases_only()
    timeline.add(Observation("prometheus", "no 5xx", 45.0, {"phase": "fault", "good": math.nan, "total": math.nan}))
    timeline.add(Observation("readable", "etcd-0", 45.0, {"keys": []}))
    timeline.add(Observation("identity", "etcd-0", 9.0, {"uid": "e", "claims": {}, "dns": None, "ip": ""}))
    timeline.add(Observation("identity", "etcd-0", 45.0, {"uid": "e", "claims": {}, "dns": None, "ip": ""}))
    timeline.requests = [RequestSeen(1.0, 1.0, 1.1, True, "ok", "GET /")]
    return timeline


def saturated() -> Timeline:
    """Good requests of a generator that could not keep up."""
    timeline = phases_only()
    timeline.requests = [RequestSeen(at / 100, at / 100, at / 100 + 0.01, True, "ok", "GET /") for at in range(4000)]
    timeline.load = LoadSummary(offered=4000, achieved=4000, saturated=True)
    return timeline


def test_the_folder_is_not_empty_and_every_kind_has_an_example() -> None:
    assert MODULES
    assert set(EXAMPLES) == set(objectives())


@pytest.mark.parametrize("module", MODULES)
def test_one_file_holds_one_kind_named_after_it(module: str) -> None:
    (kind,) = (kind for kind, found in objectives().items() if found.__module__ == f"harness.objectives.{module}")
    assert "".join("_" + letter.lower() if letter.isupper() else letter for letter in kind) == module


@pytest.mark.parametrize("module", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_judging_sees_no_cluster_no_network_and_no_clock(module: str) -> None:
    allowed = (
        "accuracy",
        "objective",
        "objectives",
        "observation",
        "statistics",
        "recovery",
        "record",
        "verdict",
        "quantities",
    )
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    own = {name.split(".")[1] for name in imported if name.startswith("harness.")}
    assert own <= set(allowed)
    assert not {name.split(".")[0] for name in imported} & {"time", "socket", "requests", "kubernetes", "threading"}


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
class TestEvery:
    def test_is_documented_and_titled(self, kind: str) -> None:
        assert inspect.getdoc(objectives()[kind])
        assert example(kind).title

    def test_is_frozen_and_refuses_unknown_keys(self, kind: str) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(example(kind), next(iter(type(example(kind)).model_fields), "anything"), 1)
        with pytest.raises(ValidationError, match="Extra inputs"):
            objectives()[kind](**EXAMPLES[kind], unheardOf=1)

    def test_has_a_schema_with_the_keys_of_the_file(self, kind: str) -> None:
        properties = objectives()[kind].model_json_schema(by_alias=True).get("properties", {})
        assert set(EXAMPLES[kind]) <= set(properties)
        assert not any("_" in key for key in properties)

    def test_survives_being_written_and_read_again(self, kind: str) -> None:
        written = example(kind).model_dump(mode="json", by_alias=True)
        assert objectives()[kind](**written) == example(kind)

    @pytest.mark.parametrize("story", [empty, phases_only, errors_only, nonsense, saturated])
    def test_holds_nothing_out_of_nothing(self, kind: str, story: object) -> None:
        finding = example(kind).judge(story())
        assert finding.verdict is not Verdict.HELD
        assert finding.reason

    @pytest.mark.parametrize("story", [empty, phases_only])
    def test_without_any_data_it_is_inconclusive_and_not_broken(self, kind: str, story: object) -> None:
        assert example(kind).judge(story()).verdict is Verdict.INCONCLUSIVE

    @pytest.mark.parametrize("story", [empty, errors_only])
    def test_an_empty_baseline_never_holds(self, kind: str, story: object) -> None:
        objective = example(kind)
        if objective.checks_baseline:
            assert objective.judge(story(), ["baseline"]).verdict is Verdict.INCONCLUSIVE

    def test_changes_nothing_and_judges_the_same_twice(self, kind: str) -> None:
        timeline = nonsense()
        before = copy.copy(list(timeline))
        assert example(kind).judge(timeline) == example(kind).judge(timeline)
        assert list(timeline) == before

    @pytest.mark.parametrize("story", [empty, phases_only, errors_only, nonsense])
    def test_what_it_waits_for_can_be_asked_at_any_time(self, kind: str, story: object) -> None:
        assert isinstance(example(kind).pending(story()), str)
