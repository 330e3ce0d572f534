"""An experiment's site: what it makes stands in the journal before it is there, and goes however it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import Object
from harness.cluster.kube.namespaces import make_namespace
from harness.cluster.kube.resources import CONFIG_MAPS
from harness.cluster.nodes.control import Trace
from harness.common.errors import ApiError, CapabilityMissing, HarnessError, Inconclusive, LeftBehind, UndoFailed
from harness.common.naming import EXPERIMENT_LABEL, RUN_LABEL, SYSTEM_NAMESPACE
from harness.common.timeouts import NODES_WHOLE, RESIDUE_GONE
from harness.engine.options import Keep
from harness.engine.steps.site import Site
from harness.safety.cleanup.residue import LeakCheck
from harness.safety.undo.belongings import claim_objects, undo_actions, undo_namespace
from harness.safety.undo.cluster_copy import find_copies
from harness.safety.undo.journal import Journal, read_journal
from tests.fake_plugin import Mark, kinds
from tests.fake_run import EXPERIMENT, Stage

RBAC = "rbac.authorization.k8s.io/v1"
ROLE: Object = {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": []}
POD: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
MARKED = (
    EXPERIMENT.replace("podKill: {selector: app=shop, count: 1}", "mark: {}")
    .replace("recoveryTime: {of: deployment/shop, max: 10s}", "told: {}")
    .partition("twins:")[0]
)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    return Stage(tmp_path)


@pytest.fixture
def journal(fake_cluster: FakeCluster, tmp_path: Path) -> Journal:
    return Journal(fake_cluster, tmp_path / "undo.jsonl", "run1", "rh-shop-run1", fake_cluster.clock)


def _journal_file(stage: Stage) -> Path:
    (file,) = stage.store.folder.rglob("undo.jsonl")
    return file


def _roles(cluster: FakeCluster) -> list[Object]:
    return cluster.server.store.list(cluster.server.resource_of(RBAC, "ClusterRole"))


def test_namespace_is_journalled_before_its_creation(stage: Stage) -> None:
    stage.play(stage.experiment(MARKED))
    writes = [(call.method, call.path) for call in stage.cluster.server.calls if call.writes]
    made = writes.index(("POST", "/api/v1/namespaces"), writes.index(("POST", "/api/v1/namespaces")) + 1)
    assert any(path.startswith(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/") for _, path in writes[:made])
    assert [entry.kind for entry in read_journal(_journal_file(stage))] == ["namespace", "mark"]


def test_run_ends_without_pending_undo_or_cluster_copy(stage: Stage) -> None:
    stage.play(stage.experiment(MARKED))
    assert [entry.state for entry in read_journal(_journal_file(stage))] == ["done", "done"]
    assert find_copies(stage.cluster.api) == []


def test_namespace_with_an_unanswered_create_is_deleted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request got through and the answer did not: nobody else would know of it."""
    create = type(stage.cluster.api).create

    def unanswered(*arguments: object, **options: object) -> Object:
        made: Object = create(*arguments, **options)  # type: ignore[arg-type]
        if made.get("kind") == "Namespace" and made["metadata"]["name"].startswith("rh-"):
            raise ApiError(0, "ConnectionLost", "the answer was lost")
        return made

    monkeypatch.setattr(type(stage.cluster.api), "create", unanswered)
    with pytest.raises(ApiError):
        stage.play(stage.experiment(MARKED))
    assert stage.namespaces() == []
    assert find_copies(stage.cluster.api) == []


def test_journal_survives_a_permanently_lost_api_server(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = Mark.evidence

    def lost(self: Mark, *arguments: object) -> object:
        stage.cluster.server.fail_next(0, count=100_000)
        return evidence(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Mark, "evidence", lost)
    began = stage.clock.monotonic()
    with pytest.raises(UndoFailed):
        stage.play(stage.experiment(MARKED))
    record = stage.stored()
    assert "UNDO FAILED: take the mark away" in record.reason
    assert [entry.state for entry in read_journal(_journal_file(stage))] == ["failed", "failed"]
    assert stage.clock.monotonic() - began < 600.0
    for failure in stage.cluster.server._failures:
        failure.count = 0
    (copy,) = find_copies(stage.cluster.api)
    assert [entry.kind for entry in copy.page.entries] == ["namespace", "mark"]


def test_one_failed_namespace_does_not_block_the_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C while one is waited for must still be told when removing the next one fails, too."""
    asked: list[str] = []

    def fails(_api: object, name: str, _clock: object) -> None:
        asked.append(name)
        raise KeyboardInterrupt if len(asked) == 1 else UndoFailed(f"{name} stays")

    monkeypatch.setattr("harness.cluster.kube.namespaces.remove_namespace", fails)
    site = Site(stage.run(), stage.experiment(MARKED), stage.root / "experiment")
    with pytest.raises(UndoFailed) as raised:
        site.close(["rh-one", "rh-two", "rh-three"], stage.said.append)
    assert sorted(asked) == ["rh-one", "rh-three", "rh-two"]
    chain: list[BaseException] = [raised.value]
    while chain[-1].__context__ is not None:
        chain.append(chain[-1].__context__)
    assert [str(error) for error in chain] == ["rh-one stays", "rh-two stays", ""]
    assert isinstance(chain[-1], KeyboardInterrupt)


@pytest.mark.parametrize(("keep", "stays"), [(Keep.NEVER, False), (Keep.ON_FAILURE, True), (Keep.ALWAYS, True)])
def test_kept_objects_of_a_killed_run_are_journalled_at_start(stage: Stage, keep: Keep, stays: bool) -> None:
    stage.keep = keep
    stage.play(stage.experiment(MARKED))
    entries = read_journal(next(stage.store.folder.rglob("undo.jsonl")))
    assert [entry.stays for entry in entries] == [stays, False]


def test_kept_namespace_stays_with_its_journal(stage: Stage) -> None:
    stage.keep = Keep.ALWAYS
    stage.play(stage.experiment(MARKED))
    (copy,) = find_copies(stage.cluster.api)
    assert copy.kept
    assert stage.namespaces() == [stage.namespace]
    assert stage.cluster.server.store.list(CONFIG_MAPS, stage.namespace) == [], "effects are never kept"


def test_effect_that_could_not_be_undone_is_never_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The namespace stays, and the next sweep takes the effect back instead of passing it over."""

    def failing(cluster: FakeCluster, parameters: dict[str, object]) -> str:
        raise HarnessError("it resists")

    monkeypatch.setattr(Mark, "undo", failing)
    stage.keep = Keep.ALWAYS
    with pytest.raises(UndoFailed, match="it resists"):
        stage.play(stage.experiment(MARKED))
    (copy,) = find_copies(stage.cluster.api)
    assert not copy.kept
    assert stage.namespaces() == [stage.namespace]


def test_a_leak_fails_an_experiment_that_held(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    undo = Mark.undo

    def leaking(cluster: FakeCluster, parameters: dict[str, object]) -> str:
        cluster.server.seed(ROLE)
        return undo(cluster, parameters)

    monkeypatch.setattr(Mark, "undo", leaking)
    with pytest.raises(LeftBehind, match="LEFT BEHIND: clusterroles/reader was not there before"):
        stage.play(stage.experiment(MARKED))
    record = stage.stored()
    assert not record.passed
    assert record.reason.startswith(
        "LEFT BEHIND: clusterroles/reader was not there before; the verdict before this error was HELD"
    )


def test_a_leak_on_a_machine_fails_an_experiment_that_held(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    stage.cluster.server.seed({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "status": ready})
    undo = Mark.undo

    def leaking(cluster: FakeCluster, parameters: dict[str, object]) -> str:
        cluster.machines.left["node-1"] = {Trace("route blackhole 198.18.70.0/24")}
        return undo(cluster, parameters)

    monkeypatch.setattr(Mark, "undo", leaking)
    left = "LEFT BEHIND: node/node-1: route blackhole 198.18.70.0/24 was not there before"
    with pytest.raises(LeftBehind, match=left):
        stage.play(stage.experiment(MARKED))
    record = stage.stored()
    assert not record.passed
    assert record.reason.startswith(f"{left}; the verdict before this error was HELD")


@pytest.mark.parametrize(("on_machines", "waited"), [(True, NODES_WHOLE), (False, RESIDUE_GONE)])
def test_nodes_that_were_hit_are_given_longer_to_be_whole_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, on_machines: bool, waited: float
) -> None:
    given: list[float] = []
    monkeypatch.setattr(LeakCheck, "nothing_left", lambda _self, within, *, kept: given.append(within) or [])
    experiment = replace(stage.experiment(MARKED), disruptive=on_machines)
    monkeypatch.setattr(Mark, "disruptive", on_machines)
    stage.play(experiment)
    assert given == [waited]


def test_leftover_on_a_machine_fails_a_kept_experiment(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the API shows is kept on purpose; a route on a node is not."""
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    stage.cluster.server.seed({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "status": ready})
    stage.keep = Keep.ALWAYS
    undo = Mark.undo

    def leaking(cluster: FakeCluster, parameters: dict[str, object]) -> str:
        cluster.machines.left["node-1"] = {Trace("route blackhole 198.18.70.0/24")}
        return undo(cluster, parameters)

    monkeypatch.setattr(Mark, "undo", leaking)
    with pytest.raises(LeftBehind, match="LEFT BEHIND: node/node-1: route blackhole"):
        stage.play(stage.experiment(MARKED))
    assert not stage.stored().passed


def test_remote_machines_are_not_inspected(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_cluster: FakeCluster) -> None:
        raise CapabilityMissing("the machines are elsewhere")

    monkeypatch.setattr(FakeCluster, "nodes", missing)
    stage.play(stage.experiment(MARKED))
    assert stage.stored().passed


def test_cluster_object_is_journalled_labelled_and_deleted(fake_cluster: FakeCluster, journal: Journal) -> None:
    role, pod = claim_objects(fake_cluster.api, journal, [ROLE, POD], "run1", "shop")
    assert pod == POD
    assert role["metadata"]["labels"][RUN_LABEL] == "run1"
    assert role["metadata"]["labels"][EXPERIMENT_LABEL] == "shop"
    assert [entry.description for entry in journal.entries] == ["remove clusterrole/reader"]
    fake_cluster.api.apply(role)
    journal.undo_all(undo_actions())
    assert _roles(fake_cluster) == []


def test_existing_object_is_never_overwritten(fake_cluster: FakeCluster, journal: Journal) -> None:
    fake_cluster.server.seed(ROLE)
    with pytest.raises(Inconclusive, match="would overwrite existing cluster-scoped objects: clusterrole/reader"):
        claim_objects(fake_cluster.api, journal, [ROLE], "run1", "shop")
    assert journal.entries == []


def test_foreign_object_of_the_same_name_is_never_deleted(fake_cluster: FakeCluster, journal: Journal) -> None:
    claim_objects(fake_cluster.api, journal, [ROLE], "run1", "shop")
    fake_cluster.server.seed(ROLE)
    journal.undo_all(undo_actions())
    assert len(_roles(fake_cluster)) == 1


def test_refused_create_deletes_nothing(stage: Stage) -> None:
    """Another experiment of the same run has made a namespace of this name."""
    make_namespace(stage.cluster.api, stage.namespace, "run1", "other", "its-claim")
    with pytest.raises(ApiError, match="409"):
        stage.play(stage.experiment(MARKED))
    assert stage.namespaces() == [stage.namespace]


def test_namespace_with_a_lost_create_response_is_removed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server created it, but the answer was lost: the claim on it shows whose it is."""

    def lost(*arguments: Any, **named: Any) -> None:
        make_namespace(*arguments, **named)
        raise ApiError(0, "ConnectionError", "no answer")

    monkeypatch.setattr("harness.cluster.kube.namespaces.make_namespace", lost)
    with pytest.raises(ApiError, match="no answer"):
        stage.play(stage.experiment(MARKED))
    assert stage.namespaces() == []


@pytest.mark.parametrize("labels", [{}, {RUN_LABEL: "run1"}, {RUN_LABEL: "run2"}])
def test_namespace_of_another_run_is_skipped(fake_cluster: FakeCluster, labels: dict[str, str]) -> None:
    metadata = {"name": "rh-shop-run1", "labels": labels}
    fake_cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    said = undo_namespace(fake_cluster, {"name": "rh-shop-run1", "run": "run1"})
    assert said == "namespace rh-shop-run1 was not created by this experiment of this run: not removed"
    assert "rh-shop-run1" in fake_cluster.server.namespaces()
