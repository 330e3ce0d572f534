"""The examples work: found by their entry points, valid, and run on a cluster in memory. They use public names only."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import used
from harness.cluster.kube.resources import DEPLOYMENTS, PODS
from harness.common.errors import Inconclusive
from harness.engine.runner import Runner
from harness.experiment import registry
from harness.experiment.declaration import Experiment
from harness.experiment.json_schema import experiment_schema
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.faults.base import Fault
from harness.model.timeline import Injection, Interval, Observation, Timeline
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord
from harness.safety.undo.cluster_copy import PERMISSIONS
from harness.safety.undo.journal import read_journal
from harness.traffic.load.behaviour import Reply
from tests.fake_run import Stage
from tests.fake_world import NAMESPACE, World

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILE = EXAMPLES / "experiments" / "pod-in-quarantine.yaml"
SOURCES = sorted(EXAMPLES.rglob("*.py"))
KINDS = (registry.faults, registry.objectives, registry.probes)


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The examples as an installed package: importable, with the entry points that their pyproject.toml declares."""
    project = tomllib.loads((EXAMPLES / "pyproject.toml").read_text())["project"]
    metadata = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in entries.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.syspath_prepend(metadata.parent)
    for kinds in KINDS:
        kinds.cache_clear()
    yield
    for kinds in KINDS:
        kinds.cache_clear()


class ReleasingReplicaSet:
    """Releases pods whose labels the ReplicaSet does not select, as the real controller does and the fake one does not.
    The Deployment reports one available replica fewer before it creates the new pod."""

    def react(self, store: Store, change: Change) -> None:
        metadata = change.object["metadata"]
        selected = "app" in (metadata.get("labels") or {})
        if change.resource == PODS and change.type != "DELETED" and metadata.get("ownerReferences") and not selected:
            store.update(PODS, change.namespace, metadata["name"], _released)
            (deployment,) = store.list(DEPLOYMENTS, change.namespace)
            store.update(DEPLOYMENTS, change.namespace, deployment["metadata"]["name"], _one_fewer, "status")


def _released(pod: Object) -> Object:
    return {**pod, "metadata": {**pod["metadata"], "ownerReferences": []}}


def _one_fewer(deployment: Object) -> Object:
    status = deployment["status"]
    return {**deployment, "status": {**status, "availableReplicas": status["availableReplicas"] - 1}}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_example_imports_public_names_only(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("harness.")
        if isinstance(node, ast.Import):
            assert [alias.name for alias in node.names if alias.name.startswith("harness")] == []
    assert ast.get_docstring(ast.parse(file.read_text()))


def test_kinds_are_found_by_their_entry_points() -> None:
    assert "podQuarantine" in registry.faults()
    assert "sameImages" in registry.objectives()
    assert "podImages" in registry.probes()
    assert "podQuarantine" in registry.undo_actions()


def example() -> Experiment:
    return load_experiment(FILE, Sources.for_root(EXAMPLES))


def test_experiment_file_is_valid_and_has_a_twin() -> None:
    experiment = example()
    assert experiment.name == FILE.stem
    assert [type(fault).__name__ for fault in experiment.faults] == ["PodQuarantine"]
    twins = experiment.twins or {}
    assert [twin for twin in twins if not experiment.as_twin(twin).because] == []
    assert twins
    jsonschema.Draft202012Validator(experiment_schema()).validate(yaml.safe_load(FILE.read_text()))


def play(stage: Stage, experiment: Experiment) -> ExperimentRecord:
    """Run it on a cluster in memory, without its load: that needs a server."""
    stage.cluster.server.store.reactors.append(ReleasingReplicaSet())
    objectives = tuple(each for each in experiment.objectives if each.kind != "availability")
    quick = replace(experiment, load=None, objectives=objectives)
    return Runner(stage.run(), quick, f"{FILE.name}::{experiment.title}").run()


def test_experiment_is_held(tmp_path: Path) -> None:
    record = play(Stage(tmp_path), example())
    assert record.verdict is Verdict.HELD, record.reason
    assert [fault.proven for fault in record.faults] == [True]
    assert [undo.state for fault in record.faults for undo in fault.undo] == ["done"]


def test_twin_is_broken_on_what_it_names(tmp_path: Path) -> None:
    record = play(Stage(tmp_path), example().as_twin("two-replicas"))
    assert record.verdict is Verdict.BROKEN, record.reason
    assert record.passed


@pytest.fixture
def fault() -> Fault:
    return registry.faults()["podQuarantine"].model_validate({"selector": "app=podinfo", "count": 2})


@pytest.fixture
def shop(world: World) -> World:
    world.cluster.server.store.reactors.append(ReleasingReplicaSet())
    return world


def test_fault_takes_pods_out_and_undo_deletes_them(fault: Fault, shop: World) -> None:
    context, before = shop.context(), shop.pods()
    victims = fault.choose(context)
    assert not fault.evidence(context, victims).proven
    fault.inject(context, victims)
    assert fault.evidence(context, victims).proven
    assert len(shop.pods()) == len(before) + 2
    # From the file, as another process would after a crash, and twice.
    for entry in read_journal(shop.journal_file) * 2:
        assert registry.undo_actions()[fault.kind](shop.cluster, entry.parameters)
    assert len(shop.pods()) == len(before)
    assert not {victim.name for victim in victims} & set(shop.pods())


def test_undo_spares_pods_that_were_never_hit(fault: Fault, shop: World) -> None:
    context, before = shop.context(), shop.pods()
    pods = [{"name": victim.name, "uid": victim.uid} for victim in fault.choose(context)]
    registry.undo_actions()[fault.kind](shop.cluster, {"namespace": NAMESPACE, "pods": pods})
    assert shop.pods() == before


def test_fault_refuses_a_later_pod_of_the_same_name(fault: Fault, shop: World) -> None:
    context, before = shop.context(), shop.pods()
    others = tuple(replace(victim, uid="another") for victim in fault.choose(context))
    with pytest.raises(Inconclusive):
        fault.inject(context, others)
    assert shop.pods() == before


def test_fault_declares_the_permissions_that_it_uses(fault: Fault, shop: World) -> None:
    context, begun = shop.context(), len(shop.cluster.server.calls)
    victims = fault.choose(context)
    fault.inject(context, victims)
    fault.evidence(context, victims)
    context.journal.undo_all(registry.undo_actions())
    needed = {each for call in shop.cluster.server.calls[begun:] for each in used(call.method, call.path)}
    assert needed - PERMISSIONS == fault.permissions


def images(*readings: tuple[float, list[str] | None]) -> Timeline:
    """A run with its fault at 10 s, and these readings of the probe."""
    timeline = Timeline(0.0, 1_700_000_000.0)
    timeline.injections.append(Injection("podQuarantine", (), Interval(10.0, 10.1), proven=True))
    for at, found in readings:
        value, error = (None, "403 Forbidden") if found is None else ({"images": found}, None)
        timeline.add(Observation("podImages", "app=shop", at, value, error))
    return timeline


@pytest.mark.parametrize(
    ("timeline", "verdict", "reason"),
    [
        (images((5.0, ["a"]), (30.0, ["a"])), Verdict.HELD, "from before the fault"),
        (images((5.0, ["a", "b"]), (30.0, ["a"])), Verdict.HELD, "from before the fault"),
        (images((5.0, ["a"]), (30.0, ["a", "c"])), Verdict.BROKEN, "new images: c"),
        (images((5.0, ["a"])), Verdict.INCONCLUSIVE, "add the probe podImages"),
        (images((5.0, ["a"]), (30.0, None)), Verdict.INCONCLUSIVE, "403 Forbidden"),
        (Timeline(0.0, 1_700_000_000.0), Verdict.INCONCLUSIVE, "nothing was injected"),
    ],
)
def test_objective_judges_what_the_probe_recorded(timeline: Timeline, verdict: Verdict, reason: str) -> None:
    finding = registry.objectives()["sameImages"].model_validate({"selector": "app=shop"}).judge(timeline)
    assert finding.verdict is verdict
    assert reason in finding.reason


@dataclass
class Answer:
    status: int
    body: bytes = b""

    def header(self, name: str) -> str:
        return ""


@dataclass
class FakeClient:
    """Answers each request by ``answer``, and keeps the names and the outcomes."""

    answer: Callable[[bytes], Answer | None]
    run: str = "run1"
    seen: list[tuple[str, str]] = field(default_factory=list)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        name: str = "",
        key: str = "",
        check: Callable[[Reply], str] = lambda _: "ok",
    ) -> Reply | None:
        reply = self.answer(body)
        self.seen.append((name, "lost" if reply is None else check(reply)))
        return reply

    def measure(self, kind: str, name: str, key: str = "") -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (lambda body: Answer(202, body), [("GET page", "ok"), ("POST order", "ok")]),
        (lambda _: Answer(202, b"{}"), [("GET page", "ok"), ("POST order", "wrong answer")]),
        (lambda _: Answer(503), [("GET page", "ok"), ("POST order", "503")]),
        (lambda _: None, [("GET page", "lost")]),
    ],
)
def test_behaviour_orders_and_checks_the_answer(
    answer: Callable[[bytes], Answer | None], seen: list[tuple[str, str]]
) -> None:
    client = FakeClient(answer)
    Sources.for_root(EXAMPLES).load.behaviour("order", {"articles": 7}).arrive(client, 8)
    assert client.seen == seen


def test_journal_of_the_fault_is_plain_json(fault: Fault, shop: World) -> None:
    context = shop.context()
    fault.inject(context, fault.choose(context))
    for entry in context.journal.entries:
        assert json.loads(json.dumps(entry.parameters)) == entry.parameters
