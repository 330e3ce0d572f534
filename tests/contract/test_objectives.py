"""The contract of every objective in ``harness/objectives``: pure, frozen, and never HELD without data."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

import harness.objectives
from harness.experiment.registry import objectives
from harness.model.finding import Finding
from harness.model.requests import Requests, RequestSample
from harness.model.timeline import Injection, Interval, LoadSummary, Observation, Phase, Timeline, Victim
from harness.model.verdict import Verdict
from harness.objectives.base import Objective
from harness.objectives.recovery.pods import pods_of
from tests.unit.timelines import ETCD, PODINFO, WALL, Story

METRIC = {"resource": "cpu", "container": "", "per_pod": 0.06, "target": 60.0}
EXAMPLES = {kind: model.example for kind, model in objectives().items()}
FOLDER = Path(harness.objectives.__path__[0])
MODULES = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "base")


def example(kind: str) -> Objective:
    return objectives()[kind](**EXAMPLES[kind])


def empty() -> Timeline:
    return Timeline(0.0, 1_700_000_000.0)


def phases_only() -> Timeline:
    """All phases took place and the fault is proven, but there are no observations."""
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
    for series in ("pods", "endpoints", "workloads", "autoscalers", "identity", "readable", "prometheus", "scaling"):
        for subject in ("", "hpa/podinfo", "deployment/podinfo", "etcd-0", "no 5xx"):
            timeline.add(Observation(series, subject, 15.0, None, "connection lost"))
    return timeline


def nonsense() -> Timeline:
    """Values that are no numbers, and a load whose only request was before the fault."""
    timeline = phases_only()
    timeline.add(Observation("prometheus", "no 5xx", 45.0, {"phase": "fault", "good": math.nan, "total": math.nan}))
    timeline.add(Observation("readable", "etcd-0", 45.0, {"keys": []}))
    timeline.add(Observation("identity", "etcd-0", 9.0, {"uid": "e", "claims": {}, "dns": None, "ip": ""}))
    timeline.add(Observation("identity", "etcd-0", 45.0, {"uid": "e", "claims": {}, "dns": None, "ip": ""}))
    timeline.requests = Requests([RequestSample(1.0, 1.0, 1.1, True, "ok", "GET /")])
    return timeline


def saturated() -> Timeline:
    """Good requests of a generator that could not keep up."""
    timeline = phases_only()
    timeline.requests = Requests(
        [RequestSample(at / 100, at / 100, at / 100 + 0.01, True, "ok", "GET /") for at in range(4000)]
    )
    timeline.load = LoadSummary(offered=4000, achieved=4000, saturated=True)
    return timeline


def watched() -> Story:
    """Everything that the examples need to be HELD which read what a watch reports: a container of podinfo-a restarts,
    etcd-0 is replaced, a rollout of podinfo halts and is undone at 20 s, its autoscaler reaches 3, the Rollout of that
    name is aborted, and two StatefulSets are changed."""
    story = Story().replicas_ready("a", "b", "c").pod(1.0, "etcd-0", "e", owner=ETCD)
    look = {"claims": {"data": ["data-etcd-0", "pv-1"]}, "dns": ["10.0.0.1"], "ip": "10.0.0.1"}
    story.add("identity", "etcd-0", 9.0, {"uid": "e", **look}).add("identity", "etcd-0", 54.0, {"uid": "f", **look})
    story.injected(10.0, ("podinfo-a", "a"), ("etcd-0", "e"), undone=20.0)
    story.pod(11.0, "podinfo-a", "a", ready=False).endpoints(11.0, "b", "c")
    story.pod(14.0, "podinfo-a", "a", container="c2", restarts=1).endpoints(14.0, "a", "b", "c")
    story.gone(11.0, "etcd-0", "e", owner=ETCD).pod(14.0, "etcd-0", "f", owner=ETCD)
    members(story)
    for at, replicas, template, reason in (
        (1.0, 3, "good", "NewReplicaSetAvailable"),
        (11.0, 4, "bad", "ReplicaSetUpdated"),
        (17.0, 4, "bad", "ProgressDeadlineExceeded"),
        (21.0, 3, "good", "NewReplicaSetAvailable"),
    ):
        progressing = {"status": str(reason != "ProgressDeadlineExceeded"), "reason": reason, "since": WALL + at}
        numbers = {"desired": 3, "replicas": replicas, "ready": 3, "available": 3, "updated": 3 if replicas == 3 else 1}
        status = {"uid": "d", "template": template, "conditions": {"Progressing": progressing}, **numbers}
        story.add("workloads", PODINFO, at, status)
    for at, current, aborted in (
        (1.0, "good", False),
        (11.0, "bad", False),
        (17.0, "bad", True),
        (21.0, "good", False),
    ):
        delivery = {"stable": "good", "current": current, "aborted": aborted, "paused": [], "message": ""}
        numbers = {"desired": 3, "replicas": 3, "updated": 3 if current == "good" else 1}
        story.add("workloads", "rollout/podinfo", at, {"uid": "r", "delivery": delivery, **numbers})
    for at, replicas, percent in ((1.0, 1, 20.0), (12.0, 3, 60.0), (30.0, 3, 5.0), (50.0, 2, 5.0)):
        sizes = {"current": replicas, "desired": replicas, "min": 1, "max": 4, "metrics": {"cpu": percent}}
        story.add("autoscalers", "hpa/podinfo", at, sizes)
    advised = {"mode": "Off", "containers": {"app": {"target": {"cpu": 0.1}}}, "conditions": {}}
    story.add("recommendations", "vpa/podinfo", 12.0, advised)
    settings = {"sync": 5.0, "tolerance": 0.1, "resolution": 10.0, "sampling": 5.0, "window": 0.0, "assumed": []}
    story.add("scaling", "hpa/podinfo", 0.5, {**settings, "target": PODINFO, "ready": {}, "metrics": [METRIC]})
    for reason, phase in (("", "Running"), ("Evicted", "Failed")):
        at = 13.0 if reason else 1.0
        story.pod(at, "batch-a", "batch", owner="deployment/batch", reason=reason, phase=phase)
    story.pod(12.5, "podinfo-n", "n", event="ADDED", since=12.5).endpoints(14.5, "a", "b", "c", "n")
    return story.requests(0, 55, failing=(10.5, 12.0)).load()


def members(story: Story) -> None:
    """A change of etcd reaches its last pod; db gives up its last pod with its claim."""
    old, new = {"controller-revision-hash": "etcd-1"}, {"controller-revision-hash": "etcd-2"}
    for name, at, revision in (("etcd", 1.0, "etcd-1"), ("etcd", 10.1, "etcd-2"), ("db", 1.0, "db-1")):
        value = {"uid": name, "first_ordinal": 0, "desired": 3, "revision": revision}
        story.add("workloads", f"statefulset/{name}", at, value)
    for name in ("etcd", "db"):
        story.struck(Victim("StatefulSet", name, name), 10.0, undone=20.0)
        for number in (1, 2):
            owner = f"statefulset/{name}"
            story.pod(1.0, f"{name}-{number}", f"{name}{number}", event="SYNC", owner=owner, labels=old)
            claim = {"event": "SYNC", "uid": f"c{number}", "volume": "pv", "deleting": False}
            story.add("claims", f"pvc/data-{name}-{number}", 1.0, claim)
    story.pod(15.0, "etcd-2", "etcd2", deleting=True, owner=ETCD, labels=old).gone(16.0, "etcd-2", "etcd2", owner=ETCD)
    story.pod(16.1, "etcd-2", "new", False, owner=ETCD, labels=new).pod(18.0, "etcd-2", "new", owner=ETCD, labels=new)
    story.gone(12.0, "db-2", "db2", owner="statefulset/db")
    story.add("claims", "pvc/data-db-2", 13.0, {"event": "DELETED", "uid": "c2", "volume": "pv", "deleting": True})


def unreported() -> Story:
    story = watched()
    for owner in (PODINFO, ETCD):
        name = f"{owner.rpartition('/')[2]}-9"
        story.pod(30.0, name, name, ready=False, event="ADDED", owner=owner, phase="Pending", unreported=True)
    return story


@dataclass(frozen=True)
class Missing:
    """Data that is missing in a series. ``excuse`` is what the docstring of an objective contains that reads the series
    and is HELD nevertheless, with the reason."""

    series: str
    what: str
    excuse: str
    story: Callable[[], Story]

    def __str__(self) -> str:
        return f"{self.series}: {self.what}"


def gaps(series: str) -> Iterator[Missing]:
    """Yield a gap that is still open at the end, and one during which objects may have come, changed and gone."""
    watch = f"watch on {series} was interrupted"
    yield Missing(series, "a gap without end", f"{watch} at the end", lambda: watched().gap(series, 30.0))
    yield Missing(
        series,
        "a gap with missing states",
        f"{watch} for a while",
        lambda: watched().gap(series, 30.0, 32.0, complete=False),
    )


WATCHES = ("pods", "endpoints", "workloads", "autoscalers", "recommendations", "claims")
MISSING = [
    *(each for series in WATCHES for each in gaps(series)),
    Missing("pods", "a pod on a node, no container statuses", "without container statuses", unreported),
]


def series_read(objective: Objective, timeline: Timeline) -> set[str]:
    """Return the series that an objective reads to judge a timeline."""
    read: set[str] = set()

    class Recorded(Timeline):
        def observations(self, series: str, subject: str | None = None) -> list[Observation]:
            read.add(series)
            return super().observations(series, subject)

    objective.judge(Recorded(**{field.name: getattr(timeline, field.name) for field in fields(timeline)}))
    return read


def careless(objective: Objective, missing: Missing) -> str:
    """Return why an objective is wrongly HELD although data is missing; "" if it is not."""
    timeline = missing.story().timeline
    finding = objective.judge(timeline)
    if finding.verdict is not Verdict.HELD or missing.series not in series_read(objective, timeline):
        return ""
    what, _, end = missing.excuse.rpartition(" interrupted ")
    excuse = rf"{what} interrupted\b[^.]*\b{end}" if what else missing.excuse
    if re.search(excuse, " ".join((inspect.getdoc(type(objective)) or "").split())):
        return ""
    return (
        f"{objective.kind}: found HELD ({finding.reason}) with missing data ({missing}), expected INCONCLUSIVE: use "
        "states_lost and watch_open_ended (harness/objectives/recovery/gaps.py), and PodSample.containers, as "
        "harness/objectives/restarts.py does. If HELD is certain nevertheless, give the reason in the docstring of "
        f'{type(objective).__name__}, with the words "{missing.excuse}".'
    )


class Careless(Objective):
    """Counts pods, and ignores that a watch may miss some."""

    kind: ClassVar[str] = "careless"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases
        verdict = Verdict.HELD if pods_of(timeline, PODINFO) else Verdict.INCONCLUSIVE
        return Finding(verdict=verdict, reason="pods were seen")


def test_objective_that_ignores_missing_data_is_found() -> None:
    found = [missing for missing in MISSING if careless(Careless(), missing)]
    assert found == [missing for missing in MISSING if missing.series == "pods"]


def test_the_folder_is_not_empty_and_every_kind_has_an_example() -> None:
    assert MODULES
    without = sorted(kind for kind, model in objectives().items() if "example" not in vars(model))
    assert not without, f"no class attribute `example` in {', '.join(without)}"


@pytest.mark.parametrize("module", MODULES)
def test_one_file_holds_one_kind_named_after_it(module: str) -> None:
    kinds = [kind for kind, found in objectives().items() if found.__module__ == f"harness.objectives.{module}"]
    names = ["".join("_" + letter.lower() if letter.isupper() else letter for letter in kind) for kind in kinds]
    assert names == [module], (
        f"harness/objectives/{module}.py: found the kinds {kinds}, expected one named after the file"
    )


@pytest.mark.parametrize("module", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_judging_sees_no_cluster_no_network_and_no_clock(module: str) -> None:
    allowed = {"histories", "model", "objectives", "prometheus.promql", "stats"}
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    own = {name.removeprefix("harness.") for name in imported if name.startswith("harness.")}
    others = sorted(f"harness.{name}" for name in own if name not in allowed and name.split(".")[0] not in allowed)
    assert not others, f"{module}.py imports {', '.join(others)}, expected nothing but {', '.join(sorted(allowed))}"
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
    def test_empty_data_never_holds(self, kind: str, story: object) -> None:
        finding = example(kind).judge(story())
        assert finding.verdict is not Verdict.HELD
        assert finding.reason

    @pytest.mark.parametrize("story", [empty, phases_only])
    def test_missing_data_is_inconclusive_and_not_broken(self, kind: str, story: object) -> None:
        assert example(kind).judge(story()).verdict is Verdict.INCONCLUSIVE

    def test_objective_that_reads_a_watch_may_hold(self, kind: str) -> None:
        """Otherwise the stories with missing data would prove nothing about it."""
        objective, timeline = example(kind), watched().timeline
        finding = objective.judge(timeline)
        assert finding.verdict is Verdict.HELD or not series_read(objective, timeline) & set(WATCHES), (
            f"{kind}: found {finding.verdict} ({finding.reason}), expected HELD: add what this objective reads to "
            "`watched` in tests/contract/test_objectives.py"
        )

    @pytest.mark.parametrize("missing", MISSING, ids=str)
    def test_missing_states_never_hold(self, kind: str, missing: Missing) -> None:
        wrong = careless(example(kind), missing)
        assert not wrong, wrong

    @pytest.mark.parametrize("story", [empty, errors_only])
    def test_an_empty_baseline_never_holds(self, kind: str, story: object) -> None:
        objective = example(kind)
        if objective.checks_baseline:
            assert objective.judge(story(), ["baseline"]).verdict is Verdict.INCONCLUSIVE

    def test_judging_is_repeatable_and_changes_nothing(self, kind: str) -> None:
        timeline = nonsense()
        before = copy.copy(list(timeline))
        assert example(kind).judge(timeline) == example(kind).judge(timeline)
        assert list(timeline) == before

    @pytest.mark.parametrize("story", [empty, phases_only, errors_only, nonsense])
    def test_pending_reason_is_available_at_any_time(self, kind: str, story: object) -> None:
        assert isinstance(example(kind).pending(story()), str)
