"""An experiment's site: what it makes stands in the journal before it is there, and goes however it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.belongings import claim_objects, undo_actions, undo_namespace
from harness.cluster.api import Object
from harness.cluster.fake import FakeCluster
from harness.cluster.nodes import Trace
from harness.cluster.resources import CONFIG_MAPS
from harness.errors import ApiError, CapabilityMissing, HarnessError, Inconclusive, LeftBehind, UndoFailed
from harness.naming import EXPERIMENT_LABEL, RUN_LABEL, SYSTEM_NAMESPACE
from harness.residue import LeakCheck
from harness.settings import Keep
from harness.site import Site
from harness.timeouts import NODES_WHOLE, RESIDUE_GONE
from harness.undo import Journal, read_journal
from harness.undo_copy import find_copies
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
        monkeypatch.setattr(f"harness.registry.{kind}", found)
    return Stage(tmp_path)


@pytest.fixture
def journal(fake_cluster: FakeCluster, tmp_path: Path) -> Journal:
    return Journal(fake_cluster, tmp_path / "undo.jsonl", "run1", "rh-shop-run1", fake_cluster.clock)


def _journal_file(stage: Stage) -> Path:
    (file,) = stage.store.folder.rglob("undo.jsonl")
    return file


def _roles(cluster: FakeCluster) -> list[Object]:
    return cluster.server.store.list(cluster.server.resource_of(RBAC, "ClusterRole"))


def test_the_namespace_is_in_the_journal_before_it_is_made(stage: Stage) -> None:
    stage.play(stage.experiment(MARKED))
    writes = [(call.method, call.path) for call in stage.cluster.server.calls if call.writes]
    made = writes.index(("POST", "/api/v1/namespaces"), writes.index(("POST", "/api/v1/namespaces")) + 1)
    assert any(path.startswith(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/") for _, path in writes[:made])
    assert [entry.kind for entry in read_journal(_journal_file(stage))] == ["namespace", "mark"]


def test_at_the_end_nothing_is_pending_and_the_cluster_s_copy_is_gone(stage: Stage) -> None:
    stage.play(stage.experiment(MARKED))
    assert [entry.state for entry in read_journal(_journal_file(stage))] == ["done", "done"]
    assert find_copies(stage.cluster.api) == []


def test_a_namespace_whose_making_was_not_answered_is_taken_away_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_an_api_server_that_is_gone_for_good_leaves_the_journal_that_tells_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_every_namespace_is_removed_whatever_becomes_of_another_and_no_error_is_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ctrl-C while one is waited for must still be told when removing the next one fails, too."""
    asked: list[str] = []

    def fails(_api: object, name: str, _clock: object) -> None:
        asked.append(name)
        raise KeyboardInterrupt if len(asked) == 1 else UndoFailed(f"{name} stays")

    monkeypatch.setattr("harness.site.arrange.remove_namespace", fails)
    site = Site(stage.run(), stage.experiment(MARKED), stage.root / "experiment", "rh-one")
    with pytest.raises(UndoFailed) as raised:
        site.leave(["rh-one", "rh-two", "rh-three"], stage.said.append)
    assert sorted(asked) == ["rh-one", "rh-three", "rh-two"]
    chain: list[BaseException] = [raised.value]
    while chain[-1].__context__ is not None:
        chain.append(chain[-1].__context__)
    assert [str(error) for error in chain] == ["rh-one stays", "rh-two stays", ""]
    assert isinstance(chain[-1], KeyboardInterrupt)


def test_what_is_kept_stays_with_its_journal(stage: Stage) -> None:
    stage.keep = Keep.ALWAYS
    stage.play(stage.experiment(MARKED))
    (copy,) = find_copies(stage.cluster.api)
    assert copy.kept
    assert stage.namespaces() == ["rh-one-killed-run1"]
    assert stage.cluster.server.store.list(CONFIG_MAPS, "rh-one-killed-run1") == [], "effects are never kept"


def test_an_effect_that_could_not_be_taken_back_is_never_kept_on_purpose(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The namespace stays, and the next sweep takes the effect back instead of passing it over."""

    def failing(cluster: FakeCluster, parameters: dict[str, object]) -> str:
        raise HarnessError("it resists")

    monkeypatch.setattr(Mark, "undo", failing)
    stage.keep = Keep.ALWAYS
    with pytest.raises(UndoFailed, match="it resists"):
        stage.play(stage.experiment(MARKED))
    (copy,) = find_copies(stage.cluster.api)
    assert not copy.kept
    assert stage.namespaces() == ["rh-one-killed-run1"]


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
    assert record.reason.startswith("LEFT BEHIND: clusterroles/reader was not there before; before that: HELD")


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
    assert record.reason.startswith(f"{left}; before that: HELD")


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


def test_what_is_left_on_a_machine_fails_an_experiment_whose_namespace_is_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_where_the_machines_are_not_here_they_are_not_looked_at(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_cluster: FakeCluster) -> None:
        raise CapabilityMissing("the machines are elsewhere")

    monkeypatch.setattr(FakeCluster, "nodes", missing)
    stage.play(stage.experiment(MARKED))
    assert stage.stored().passed


def test_an_object_without_a_namespace_is_journalled_labelled_and_taken_away(
    fake_cluster: FakeCluster, journal: Journal
) -> None:
    role, pod = claim_objects(fake_cluster.api, journal, [ROLE, POD], "run1", "shop")
    assert pod == POD
    assert role["metadata"]["labels"][RUN_LABEL] == "run1"
    assert role["metadata"]["labels"][EXPERIMENT_LABEL] == "shop"
    assert [entry.description for entry in journal.entries] == ["remove clusterrole/reader"]
    fake_cluster.api.apply(role)
    journal.undo_all(undo_actions())
    assert _roles(fake_cluster) == []


def test_an_object_that_is_there_already_is_never_overwritten(fake_cluster: FakeCluster, journal: Journal) -> None:
    fake_cluster.server.seed(ROLE)
    with pytest.raises(Inconclusive, match="would overwrite what the cluster has already: clusterrole/reader"):
        claim_objects(fake_cluster.api, journal, [ROLE], "run1", "shop")
    assert journal.entries == []


def test_somebody_else_s_object_of_that_name_is_never_deleted(fake_cluster: FakeCluster, journal: Journal) -> None:
    claim_objects(fake_cluster.api, journal, [ROLE], "run1", "shop")
    fake_cluster.server.seed(ROLE)
    journal.undo_all(undo_actions())
    assert len(_roles(fake_cluster)) == 1


@pytest.mark.parametrize("labels", [{}, {RUN_LABEL: "run1"}, {RUN_LABEL: "run2"}])
def test_a_namespace_that_is_not_the_run_s_is_left_alone(fake_cluster: FakeCluster, labels: dict[str, str]) -> None:
    metadata = {"name": "rh-shop-run1", "labels": labels}
    fake_cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    said = undo_namespace(fake_cluster, {"name": "rh-shop-run1", "run": "run1"})
    assert said == "namespace rh-shop-run1 is not of this run: left alone"
    assert "rh-shop-run1" in fake_cluster.server.namespaces()
