"""Sweeping: what dead runs left is taken back, by whoever comes first, and live runs are left alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import main
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.namespaces import make_namespace
from harness.cluster.kube.resources import CONFIG_MAPS, LEASES, NAMESPACES
from harness.cluster.protocol import Cluster
from harness.common.errors import HarnessError
from harness.common.naming import SYSTEM_NAMESPACE
from harness.safety.cleanup.leftovers import find_leftovers
from harness.safety.cleanup.sweep import Survey, Sweep, Wanted
from harness.safety.leases.claim import LOCK, Claim, lease_name
from harness.safety.leases.lease import find_lease, take
from harness.safety.undo import belongings
from harness.safety.undo.cluster_copy import find_copies
from harness.safety.undo.entry import _checksum
from harness.safety.undo.journal import Journal, UndoAction, read_journal
from tests.fake_run import WatchedClock
from tests.unit.safety.leases.test_lease import Renewing

UID = "uid-of-this-cluster"


class World:
    """A cluster on which runs die, and what their undos took back."""

    def __init__(self, folder: Path) -> None:
        self.clock = WatchedClock()
        self.cluster = FakeCluster(self.clock)
        self.folder = folder
        self.undone: list[str] = []
        self.resists: set[str] = set()
        self.said: list[str] = []

    def actions(self) -> dict[str, UndoAction]:
        def undo(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
            if parameters["name"] in self.resists:
                raise HarnessError(f"{parameters['name']} resists")
            self.undone.append(parameters["name"])
            return "undone"

        return {**belongings.undo_actions(), "test": undo}

    def journal(self, run: str, namespace: str) -> Journal:
        file = self.folder / run / namespace / "undo.jsonl"
        return Journal(self.cluster, file, run, namespace, self.clock, cluster_uid=UID)

    def die(self, run: str, *effects: str, exclusive: bool = False, stays: bool = False) -> Journal:
        """A run claims the cluster, makes its namespace, breaks things, and is no more."""
        claim = Claim(self.cluster.api, run, self.clock, lambda _: None)
        claim.take(exclusive=exclusive)
        journal = self.journal(run, f"rh-{run}")
        belongings.claim_namespace(journal, f"rh-{run}", run, stays=stays)
        make_namespace(self.cluster.api, f"rh-{run}", run, "shop")
        for effect in effects:
            journal.write("test", f"take back {effect}", {"name": effect})
        claim.close(last=False)
        return journal

    def sweep(self, cluster: FakeCluster | None = None, uid: str = UID) -> Sweep:
        files = sorted(self.folder.rglob("undo.jsonl"))
        return Sweep(
            cluster or self.cluster,
            self.clock,
            self.said.append,
            cluster_uid=uid,
            files=files,
            actions=self.actions(),
        )

    def swept(self, wanted: Wanted | None = None) -> tuple[Survey, list[str]]:
        sweep = self.sweep()
        survey = sweep.survey(wanted or Wanted())
        return survey, [failure for left in survey.dead for failure in sweep.undo_entries(left, wanted or Wanted())]

    def left(self) -> list[str]:
        """Every object of the harness's that is there."""
        store = self.cluster.server.store
        own = [*store.list(CONFIG_MAPS, SYSTEM_NAMESPACE), *store.list(LEASES, SYSTEM_NAMESPACE)]
        spaces = [item for item in store.list(NAMESPACES) if item["metadata"]["name"].startswith("rh-")]
        return [item["metadata"]["name"] for item in [*own, *spaces]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_effects_of_a_dead_run_are_undone_in_reverse_completely(world: World) -> None:
    world.die("a", "first", "second")
    survey, failures = world.swept()
    assert [left.run for left in survey.dead] == ["a"]
    assert failures == []
    assert world.undone == ["second", "first"]
    assert world.left() == []
    assert [entry.state for entry in read_journal(world.folder / "a" / "rh-a" / "undo.jsonl")] == ["done"] * 3


def test_sweeping_again_finds_nothing(world: World) -> None:
    world.die("a", "first")
    world.swept()
    survey, _ = world.swept()
    assert survey == Survey()
    assert world.undone == ["first"]


def test_live_run_is_skipped(world: World) -> None:
    world.die("alive", "first")
    world.clock = Renewing(world.cluster, lease_name("alive"))
    survey, _ = world.swept()
    assert [left.run for left in survey.live] == ["alive"]
    assert survey.dead == []
    assert world.undone == []


def test_live_run_is_undone_only_by_force_and_by_name(world: World) -> None:
    world.die("alive", "first")
    world.die("other", "second")
    world.clock = Renewing(world.cluster, lease_name("alive"), lease_name("other"))
    _, failures = world.swept(Wanted("alive", force=True))
    assert failures == []
    assert world.undone == ["first"]
    assert lease_name("other") in world.left()


def test_run_that_resumes_before_the_takeover_is_skipped(world: World) -> None:
    world.die("a", "first")
    sweep = world.sweep()
    (left,) = sweep.survey(Wanted()).dead
    Renewing(world.cluster, lease_name("a")).sleep(1.0)
    assert sweep.undo_entries(left, Wanted()) == []
    assert world.undone == []
    assert "skipped, its Lease was renewed or taken over by another process" in world.said[-1]


def test_a_run_that_wakes_up_after_it_was_taken_over_finds_out(world: World) -> None:
    claim = Claim(world.cluster.api, "a", world.clock, lambda _: None)
    claim.take()
    seen = find_lease(world.cluster.api, lease_name("a"))
    take(world.cluster.api, lease_name("a"), "a sweep", {}, world.clock, over=seen)
    assert claim._keeper is not None
    claim._keeper.renew(lease_name("a"))
    assert "was taken over by a sweep" in str(claim.lost())
    claim.close(last=True)
    assert find_lease(world.cluster.api, lease_name("a")) is not None


def test_only_one_of_two_sweeps_undoes_a_run(world: World) -> None:
    world.die("a", "first")
    one, other = world.sweep(), world.sweep()
    (left,), (same,) = one.survey(Wanted()).dead, other.survey(Wanted()).dead
    assert one.undo_entries(left, Wanted()) == []
    assert other.undo_entries(same, Wanted()) == []
    assert world.left() == []


def test_a_sweep_that_dies_is_taken_over_by_the_next(world: World) -> None:
    world.die("a", "first")
    seen = find_lease(world.cluster.api, lease_name("a"))
    assert seen is not None
    take(world.cluster.api, lease_name("a"), "a sweep", dict(seen.labels), world.clock, over=seen)
    survey, failures = world.swept()
    assert (len(survey.dead), failures) == (1, [])
    assert world.left() == []


def test_entries_written_after_the_survey_are_undone_too(world: World) -> None:
    journal = world.die("a", "first")
    sweep = world.sweep()
    (left,) = sweep.survey(Wanted()).dead
    journal.write("test", "take back late", {"name": "late"})
    sweep.undo_entries(left, Wanted())
    assert world.undone == ["late", "first"]


def test_failed_undo_is_reported_and_found_again(world: World) -> None:
    world.die("a", "first", "second")
    world.resists = {"first"}
    _, failures = world.swept()
    assert failures == ["take back first: first resists"]
    assert world.undone == ["second"]
    (copy,) = find_copies(world.cluster.api)
    assert [(entry.description, entry.state) for entry in copy.page.entries][1:] == [
        ("take back first", "failed"),
        ("take back second", "done"),
    ]
    world.resists = set()
    world.clock.advance(60.0)
    _, failures = world.swept()
    assert failures == []
    assert world.left() == []


def test_undo_may_succeed_once_the_namespace_is_deleted(world: World) -> None:
    world.die("a", "in the namespace")
    undo = world.actions()["test"]

    def only_without(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        if cluster.api.find(NAMESPACES, "rh-a"):
            raise HarnessError("the pod does not answer")
        return undo(cluster, parameters)

    sweep = Sweep(world.cluster, world.clock, world.said.append, actions={**world.actions(), "test": only_without})
    (left,) = sweep.survey(Wanted()).dead
    assert sweep.undo_entries(left, Wanted()) == []
    assert world.undone == ["in the namespace"]


def test_namespace_without_a_journal_is_swept_by_its_labels(world: World) -> None:
    make_namespace(world.cluster.api, "rh-lost", "a", "shop")
    world.cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rh-somebody-s"}})
    survey, failures = world.swept()
    assert survey.dead[0].lines() == ["namespace rh-lost, in no undo journal"]
    assert failures == []
    assert world.left() == ["rh-somebody-s"]


def test_namespace_of_that_name_from_another_run_is_skipped(world: World) -> None:
    journal = world.journal("a", "rh-a")
    belongings.claim_namespace(journal, "rh-a", "a")
    world.cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rh-a"}})
    world.swept()
    assert world.left() == ["rh-a"]


def test_disk_journal_is_replayed_if_the_cluster_copy_is_gone(world: World) -> None:
    world.die("a", "first")
    for item in world.cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE):
        world.cluster.api.delete(CONFIG_MAPS, item["metadata"]["name"], SYSTEM_NAMESPACE)
    _, failures = world.swept()
    assert failures == []
    assert world.undone == ["first"]
    assert world.left() == []
    assert world.swept()[0] == Survey(), "the disk says that it is done, and still of which run"


@pytest.mark.parametrize("uid", ["another cluster", ""])
def test_a_journal_on_disk_is_never_replayed_on_another_cluster(world: World, uid: str) -> None:
    world.die("a", "first")
    other = FakeCluster(world.clock)
    assert world.sweep(other, uid).survey(Wanted()) == Survey()


def test_namespace_kept_on_purpose_stays_unless_requested(world: World) -> None:
    world.die("a").keep()
    lease = find_lease(world.cluster.api, lease_name("a"))
    assert lease is not None
    world.cluster.api.delete(LEASES, lease.name, SYSTEM_NAMESPACE)
    survey, _ = world.swept()
    assert ([left.run for left in survey.kept], survey.dead) == (["a"], [])
    assert "rh-a" in world.left()
    _, failures = world.swept(Wanted(kept=True))
    assert failures == []
    assert world.left() == []


class TestKilledRunThatKeeps:
    """``--cluster-keep=always`` (or ``on-failure``: a run that was killed has not passed), and no orderly end."""

    def test_effects_are_undone_and_the_namespace_stays(self, world: World) -> None:
        world.die("a", "first", stays=True)
        survey, failures = world.swept()
        assert ([left.run for left in survey.dead], failures, world.undone) == (["a"], [], ["first"])
        assert world.left() == ["undo-rh-a", "rh-a"]

    def test_the_next_sweep_shows_it_as_kept(self, world: World) -> None:
        world.die("a", "first", stays=True)
        world.swept()
        survey, _ = world.swept()
        assert ([left.run for left in survey.kept], survey.dead) == (["a"], [])
        assert world.undone == ["first"]

    def test_sweep_kept_removes_it(self, world: World) -> None:
        world.die("a", "first", stays=True)
        world.swept()
        _, failures = world.swept(Wanted("a", kept=True))
        assert (failures, world.left()) == ([], [])

    def test_another_machine_sweeps_the_same(self, world: World, tmp_path: Path) -> None:
        """It has no journal on its disk."""
        world.die("a", "first", stays=True)
        world.folder = tmp_path / "elsewhere"
        world.swept()
        survey, _ = world.swept()
        assert [left.run for left in survey.kept] == ["a"]
        assert (world.undone, world.left()) == (["first"], ["undo-rh-a", "rh-a"])

    def test_a_failed_undo_does_not_become_kept(self, world: World) -> None:
        world.die("a", "first", stays=True)
        world.resists = {"first"}
        _, failures = world.swept()
        assert failures
        world.clock.sleep(20.0)
        survey = world.sweep().survey(Wanted())
        assert ([left.run for left in survey.dead], survey.kept) == (["a"], [])

    def test_the_command_names_the_one_that_removes_it(
        self, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world.die("a", stays=True)
        monkeypatch.setattr("harness.cli.sweep._cluster", lambda _options: nullcontext(world.cluster))
        monkeypatch.setattr("harness.cli.sweep.SystemClock", lambda: world.clock)
        arguments = ["sweep", "--reports", str(world.folder)]
        assert (main(arguments), main(arguments)) == (0, 0)
        kept = "a: kept on purpose (`harness sweep --kept --run a --cluster=fake` removes it): rh-a"
        assert capsys.readouterr().out.count(kept) == 2
        assert main([*arguments, "--kept", "--run", "a"]) == 0
        assert world.left() == []


def test_lock_of_a_dead_run_is_removed_with_it(world: World) -> None:
    world.die("a", "a node", exclusive=True)
    assert LOCK in world.left()
    world.swept()
    assert world.left() == []


def test_lock_stays_while_an_effect_is_not_undone(world: World) -> None:
    world.die("a", "a node", exclusive=True)
    world.resists = {"a node"}
    world.swept()
    assert LOCK in world.left()


def test_only_the_named_run_is_undone(world: World) -> None:
    world.die("a", "first")
    world.die("b", "second")
    world.swept(Wanted("b"))
    assert world.undone == ["second"]


def test_unreadable_journal_is_reported_and_kept(world: World) -> None:
    world.die("a", "first")
    (item,) = world.cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE)
    text = item["data"]["undo.jsonl"]
    assert len(find_leftovers(world.cluster.api, [], UID)[0].journals[0].pending) == 2
    item["data"]["undo.jsonl"] = text.replace('"format": 1', '"format": 2')
    # A line whose checksum is wrong is no line at all.
    world.cluster.api.replace(CONFIG_MAPS, item, SYSTEM_NAMESPACE)
    assert find_leftovers(world.cluster.api, [], UID)[0].journals[0].pending == ()


def _rewrite(world: World, run: str, **changes: Any) -> None:
    """The cluster's copy of a journal as another harness would have written it: the checksums are right."""
    (item,) = (each for each in world.cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE) if run in str(each))
    lines = []
    for text in item["data"]["undo.jsonl"].splitlines():
        body = {key: value for key, value in json.loads(text).items() if key != "sum"}
        body["entry"] |= changes
        lines.append(json.dumps({**body, "sum": _checksum(body)}))
    item["data"]["undo.jsonl"] = "\n".join(lines)
    world.cluster.api.replace(CONFIG_MAPS, item, SYSTEM_NAMESPACE)


def _swept(world: World) -> list[str]:
    sweep = world.sweep()
    return sweep.undo_each(sweep.survey(Wanted()).dead, Wanted())


def test_unreadable_journal_is_named_and_stops_no_other_run(world: World) -> None:
    world.die("run-a", "first")
    world.die("run-b", "second")
    _rewrite(world, "run-a", color="red")
    (failure,) = _swept(world)
    assert failure.startswith(
        "run-a: ConfigMap undo-rh-run-a: an undo journal has an entry that this version cannot read: "
    )
    assert "color" in failure
    assert world.undone == ["second"]
    assert "undo-rh-run-a" in world.left(), "it is kept for who can read it"


def test_wrong_parameters_are_reported_and_stop_no_other_run(world: World) -> None:
    world.die("run-a", "first")
    world.die("run-b", "second")
    _rewrite(world, "run-a", parameters={})
    (failure,) = _swept(world)
    assert "run-a: take back first: the undo action cannot use the entry's parameters: KeyError: 'name'" in failure
    assert world.undone == ["second"]


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), AttributeError("a bug")])
def test_a_bug_in_the_undo_of_one_run_stops_no_other_run(world: World, error: Exception) -> None:
    world.die("run-a", "first")
    world.die("run-b", "second")
    undo = world.actions()["test"]

    def buggy(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        if parameters["name"] == "first":
            raise error
        return undo(cluster, parameters)

    sweep = Sweep(world.cluster, world.clock, world.said.append, actions={**world.actions(), "test": buggy})
    failures = sweep.undo_each(sweep.survey(Wanted()).dead, Wanted())
    assert failures == [f"run-a: {type(error).__name__}: a bug"]
    assert world.undone == ["second"]


def test_undeletable_journal_is_reported_and_stops_no_other_run(world: World) -> None:
    world.die("run-a", "first")
    world.die("run-b", "second")
    world.cluster.server.fail_next(403, count=1, method="DELETE", path="/configmaps")
    (failure,) = _swept(world)
    assert failure.startswith("run-a: 403")
    assert world.undone == ["first", "second"]


def test_a_journal_on_disk_that_cannot_be_read_is_named(world: World) -> None:
    world.die("a", "first")
    file = world.folder / "b" / "undo.jsonl"
    file.parent.mkdir()
    file.write_bytes((world.folder / "a" / "rh-a" / "undo.jsonl").read_bytes())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    body = {**{key: value for key, value in lines[0].items() if key != "sum"}, "format": 2}
    file.write_text(json.dumps({**body, "sum": _checksum(body)}))
    survey = world.sweep().survey(Wanted())
    (problem,) = survey.unreadable
    assert problem.startswith(f"{file}: ")
    assert "needs a newer harness" in problem
    assert world.sweep().survey(Wanted("a")).unreadable == [], "whose it is is not known"


def test_command_reports_unreadable_journals_and_undoes_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.die("run-a", "first")
    world.die("run-b")
    _rewrite(world, "run-a", color="red")
    monkeypatch.setattr("harness.cli.sweep._cluster", lambda _options: nullcontext(world.cluster))
    monkeypatch.setattr("harness.cli.sweep.SystemClock", lambda: world.clock)
    assert main(["sweep", "--reports", str(world.folder / "none")]) == 1
    assert "ConfigMap undo-rh-run-a" in capsys.readouterr().err
    assert "rh-run-b" not in world.left()
