"""The dead-man switch: a run that is gone is swept by a process that outlives it, a run that ends in order is not."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli.main import main
from harness.cli.sweep import _cluster_without_api
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.protocol import Cluster
from harness.common.clock import FakeClock
from harness.common.errors import ApiError, ClusterUnreachable, HarnessError, UndoFailed
from harness.engine.options import Keep
from harness.safety.cleanup import deadman
from harness.safety.cleanup.deadman import ALL_IS_WELL, LOOK_EVERY, TRY_FOR, DeadMan, Ending
from harness.safety.leases.worker_lock import WorkerLock
from harness.safety.undo.cluster_copy import find_copies
from harness.safety.undo.journal import Journal, read_journal
from tests.fake_plugin import Mark, kinds
from tests.fake_run import EXPERIMENT, PATIENCE, Stage

MARKED = (
    EXPERIMENT.replace("podKill: {selector: app=shop, count: 1}", "mark: {}")
    .replace("recoveryTime: {of: deployment/shop, max: 10s}", "told: {}")
    .partition("twins:")[0]
)
ROOT = Path(__file__).parents[4]
# A run that arms the switch, says which process it is, and is killed; its cluster is none, so the sweep says so.
DOOMED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from harness.common.clock import SystemClock
from harness.safety.cleanup.deadman import DeadMan
from harness.safety.leases.worker_lock import WorkerLock
folder = Path(sys.argv[1])
nowhere = SimpleNamespace(context="nowhere", kubeconfig=folder / "kubeconfig")
with WorkerLock(folder, SystemClock(), print).taken("it", lambda: None, alone=True):
    made = DeadMan(nowhere, "run1", folder, folder / "undo.jsonl", 0)
    print(made._process.pid, flush=True)
    sys.stdin.read()
"""


class Guard:
    """Stands in for the switch, and writes down what becomes of it."""

    def __init__(self, *_arguments: Any) -> None:
        self.told: list[str] = []
        MADE.append(self)

    def stand_down(self) -> None:
        self.told.append("all is well")

    def take_over(self) -> None:
        self.told.append("take over")


MADE: list[Guard] = []


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    MADE.clear()
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    monkeypatch.setattr("harness.engine.steps.site.DeadMan", Guard)
    found = Stage(tmp_path)
    found.cluster.machines.outlive_run = True
    return found


def _nowhere(folder: Path) -> Any:
    return SimpleNamespace(context="nowhere", kubeconfig=folder / "kubeconfig")


def _armed(folder: Path) -> DeadMan:
    return DeadMan(_nowhere(folder), "run1", folder, folder / "undo.jsonl", 0)


def _armed_still() -> None:
    raise HarnessError("armed")


def test_a_run_that_ends_in_order_stands_it_down(tmp_path: Path) -> None:
    made = _armed(tmp_path)
    made.stand_down()
    made.stand_down()
    assert made._process.wait(PATIENCE) == 0
    assert (tmp_path / "deadman.log").read_text() == ""


def test_a_run_that_is_killed_is_swept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DOOMED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        guard = os.pidfd_open(int(run.stdout.readline()))
        try:
            assert not select.select([guard], [], [], 0)[0], "it waits"
            # As Ctrl-C at a terminal does: to the run's whole process group, of which the switch is none.
            assert os.getpgid(run.pid) == os.getpgid(0)
            run.send_signal(signal.SIGKILL)
            assert select.select([guard], [], [], PATIENCE)[0], "it swept and ended"
        finally:
            os.close(guard)
    assert "kubeconfig" in (tmp_path / "deadman.log").read_text(), "there is no such cluster, and it looked for it"


def test_lock_waits_until_the_switch_has_undone_a_killed_run(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DOOMED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        number = int(run.stdout.readline())
        guard = os.pidfd_open(number)
        # It needs as long as it takes until somebody has been seen to wait for it.
        os.kill(number, signal.SIGSTOP)
        run.kill()
        run.wait(PATIENCE)
        waits: list[bool] = []

        def let_it_end() -> None:
            waits.append(not select.select([guard], [], [], 0)[0])
            os.kill(number, signal.SIGCONT)
            select.select([guard], [], [], PATIENCE)

        try:
            with WorkerLock(tmp_path, FakeClock(), pytest.fail).taken("next", let_it_end, alone=False):
                assert waits == [True]
        finally:
            if not waits:
                os.kill(number, signal.SIGCONT)
            os.close(guard)


def test_stopped_switch_does_not_delay_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine its start alone may take longer than a run waits for its end.
    monkeypatch.setattr("harness.safety.cleanup.deadman.STOP_WITHIN", PATIENCE)
    made = _armed(tmp_path)
    try:
        with (
            pytest.raises(HarnessError, match="armed"),
            WorkerLock(tmp_path, FakeClock(), pytest.fail).taken("next", _armed_still, alone=True),
        ):
            pytest.fail("it is not its turn")
    finally:
        made.stand_down()
    with WorkerLock(tmp_path, FakeClock(), pytest.fail).taken("next", _armed_still, alone=True):
        pass


def test_slow_stop_of_the_switch_does_not_fail_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has been told; on a busy machine it reads that later."""
    monkeypatch.setattr("harness.safety.cleanup.deadman.STOP_WITHIN", 0.0)
    made = _armed(tmp_path)
    made.stand_down()
    assert made._process.wait(PATIENCE) == 0
    assert (tmp_path / "deadman.log").read_text() == ""


def test_switch_has_a_separate_session(tmp_path: Path) -> None:
    """A Ctrl-C or a closed terminal, which ends the run, must not end what takes the run back."""
    made = _armed(tmp_path)
    try:
        assert os.getsid(made._process.pid) != os.getsid(0)
    finally:
        made.stand_down()


def test_switch_is_armed_for_disruptive_faults_and_stopped_after(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    inject = Mark.inject

    def watched(self: Mark, *arguments: Any) -> None:
        assert [guard.told for guard in MADE] == [[]]
        inject(self, *arguments)

    monkeypatch.setattr(Mark, "disruptive", True)
    monkeypatch.setattr(Mark, "inject", watched)
    stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert [guard.told for guard in MADE] == [["all is well"]]


def test_switch_takes_over_undos_that_the_run_failed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mark, "disruptive", True)
    text = MARKED.replace("mark: {}", "mark: {fails: undo}").replace("hypothesis:", "disruptive: true\nhypothesis:")
    with pytest.raises(UndoFailed):
        stage.play(stage.experiment(text))
    assert [guard.told for guard in MADE] == [["take over"]]


def test_switch_takes_over_after_a_bug_in_an_undo(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(Mark, "disruptive", True)
    monkeypatch.setattr(Mark, "undo", buggy)
    with pytest.raises(ZeroDivisionError):
        stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert [guard.told for guard in MADE] == [["take over"]]


def test_switch_is_stopped_when_a_namespace_is_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mark, "disruptive", True)
    stage.keep = Keep.ALWAYS
    stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert [guard.told for guard in MADE] == [["all is well"]]


def test_api_only_faults_need_no_switch(stage: Stage) -> None:
    stage.play(stage.experiment(MARKED))
    assert MADE == []


def test_cluster_with_remote_machines_has_no_switch(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.cluster.machines.outlive_run = False
    monkeypatch.setattr(Mark, "disruptive", True)
    stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert MADE == []
    assert isinstance(stage.cluster, FakeCluster)


def test_run_does_not_wait_for_a_switch_that_takes_over(tmp_path: Path) -> None:
    made = _armed(tmp_path)
    made.take_over()
    made.stand_down()
    assert made._process.wait(PATIENCE) == 1
    assert Ending.GONE.value in (tmp_path / "deadman.log").read_text()


# The process itself, with a pipe and a clock of the test's.

TTL = 100.0


class Orphan:
    """A guard on a fake cluster: ``script`` is what it hears, one at each look, and its last one for ever."""

    def __init__(self, folder: Path, *script: bytes | None) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock)
        self.file = folder / "undo.jsonl"
        self.script = list(script) or [b""]
        self.undone: list[str] = []
        self.said: list[str] = []
        # What an undo, or connecting, raises the next times.
        self.in_the_way: list[Exception] = []
        self.unreachable: list[Exception] = []

    def journal(self, *names: str) -> Journal:
        made = Journal(self.cluster, self.file, "run1", "shop", self.clock, cluster_uid="uid", ttl=TTL)
        for name in names:
            made.write("test", f"take back {name}", {"name": name})
        return made

    def guard(self, made: int = 0, connect: Callable[[], Cluster] | None = None) -> deadman.Guard:
        return deadman.Guard(
            self.file,
            made,
            self.clock,
            connect=connect or self._connect,
            actions={"test": self._undo},
            progress=self.said.append,
            listen=self._listen,
        )

    def states(self) -> list[str]:
        return [entry.state for entry in read_journal(self.file)]

    def _connect(self) -> Cluster:
        if self.unreachable:
            raise self.unreachable.pop(0)
        return self.cluster

    def _undo(self, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        if self.in_the_way:
            raise self.in_the_way.pop(0)
        self.undone.append(parameters["name"])
        return "undone"

    def _listen(self, seconds: float) -> bytes | None:
        self.clock.advance(seconds)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


ENDINGS = [
    ([b""], Ending.GONE),
    ([ALL_IS_WELL, b""], Ending.IN_ORDER),
    ([None, ALL_IS_WELL[:5], None, ALL_IS_WELL[5:], b""], Ending.IN_ORDER),
    ([ALL_IS_WELL[:5], b""], Ending.GONE),
]


@pytest.mark.parametrize(("script", "ending"), ENDINGS)
def test_only_the_whole_message_stands_it_down(tmp_path: Path, script: list[bytes | None], ending: Ending) -> None:
    assert Orphan(tmp_path, *script).guard().wait() is ending


def test_received_bytes_are_those_the_run_wrote() -> None:
    ours, theirs = os.pipe()
    try:
        assert deadman.listen(0.0, ours) is None
        os.write(theirs, b"all")
        assert deadman.listen(PATIENCE, ours) == b"all"
        os.close(theirs)
        assert deadman.listen(PATIENCE, ours) == b""
    finally:
        os.close(ours)


def test_dead_run_is_undone_in_reverse_without_checking_a_lease(tmp_path: Path) -> None:
    """Another process of the run may renew the Lease that they share: the journal is this one's alone."""
    orphan = Orphan(tmp_path)
    orphan.journal("namespace", "node")
    before = len(orphan.cluster.server.calls)
    guard = orphan.guard(made=1)
    assert guard.undo_entries(guard.wait()) == []
    assert orphan.undone == ["node", "namespace"]
    assert orphan.states() == ["done", "done"]
    assert not [call for call in orphan.cluster.server.calls[before:] if "leases" in call.path]
    assert find_copies(orphan.cluster.api) == []


def test_machine_effects_are_undone_without_an_api(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path)
    orphan.journal("node")
    orphan.cluster.server.fail_next(0, count=100_000)
    assert orphan.guard().undo_entries(Ending.GONE) == []
    assert orphan.undone == ["node"]


@pytest.mark.parametrize("error", [ClusterUnreachable("it is locked"), OSError("no file handles"), ZeroDivisionError()])
def test_unreachable_cluster_is_retried(tmp_path: Path, error: Exception) -> None:
    orphan = Orphan(tmp_path)
    orphan.journal("node")
    orphan.unreachable = [error] * 5
    assert orphan.guard().undo_entries(Ending.GONE) == []
    assert orphan.undone == ["node"]


@pytest.mark.parametrize("error", [HarnessError("it resists"), ApiError(403, "Forbidden", "no"), ZeroDivisionError()])
def test_an_undo_that_fails_is_tried_again(tmp_path: Path, error: Exception) -> None:
    orphan = Orphan(tmp_path)
    orphan.journal("node")
    orphan.in_the_way = [error] * 5
    assert orphan.guard().undo_entries(Ending.GONE) == []
    assert orphan.states() == ["done"]


def test_permanently_failing_undo_is_reported_within_a_limit(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path)
    orphan.journal("node")
    orphan.in_the_way = [HarnessError("it resists")] * 10_000
    begun = orphan.clock.monotonic()
    assert orphan.guard().undo_entries(Ending.GONE) == ["take back node: it resists"]
    assert TRY_FOR <= orphan.clock.monotonic() - begun < TRY_FOR + 60.0
    assert orphan.states() == ["failed"]


def test_kept_namespace_is_left_to_the_sweep(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path)
    journal = orphan.journal()
    journal.write("test", "remove namespace", {"name": "namespace", "stays": True})
    journal.write("test", "take back node", {"name": "node"})
    assert orphan.guard().undo_entries(Ending.GONE) == []
    assert orphan.undone == ["node"]
    assert len(find_copies(orphan.cluster.api)) == 1, "it says what stays"


def test_run_without_leftovers_needs_no_connection(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path)
    orphan.unreachable = [HarnessError("nobody is there")]
    assert orphan.guard().undo_entries(Ending.GONE) == []
    orphan.journal("node").undo_all({"test": orphan._undo})
    assert orphan.guard().undo_entries(Ending.GONE) == []
    assert orphan.unreachable


def test_hanging_run_is_undone_when_its_time_is_over(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, None)
    orphan.journal("namespace", "node", "other node")
    guard, begun = orphan.guard(made=1), orphan.clock.monotonic()
    assert guard.wait() is Ending.OVERDUE
    assert TTL < orphan.clock.monotonic() - begun <= TTL + 2 * LOOK_EVERY
    assert guard.undo_entries(Ending.OVERDUE) == []
    assert orphan.undone == ["other node", "node"]
    assert orphan.states() == ["pending", "done", "done"]
    assert len(find_copies(orphan.cluster.api)) == 1, "the namespace is still to be taken back"
    orphan.script = [b""]
    assert guard.wait() is Ending.GONE


def test_run_within_its_time_is_untouched_whatever_effect_age(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, None)
    journal = orphan.journal("namespace", "node")
    guard = orphan.guard(made=1)
    late: list[float] = []

    def listen(seconds: float) -> bytes | None:
        orphan.clock.advance(seconds)
        if orphan.clock.monotonic() > begun + TTL / 2 and not late:
            late.append(orphan.clock.monotonic())
            journal.write("test", "take back late", {"name": "late"})
        return None

    begun = orphan.clock.monotonic()
    guard._listen = listen
    assert guard.wait() is Ending.OVERDUE
    assert orphan.clock.monotonic() > late[0] + TTL


def test_old_namespace_does_not_make_a_run_overdue(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, *[None] * 200, b"")
    orphan.journal("namespace", "node").undo_all({"test": orphan._undo}, after=1)
    assert orphan.guard(made=1).wait() is Ending.GONE


def test_a_wall_clock_that_is_set_makes_no_run_overdue(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, None, None, b"")
    orphan.journal("node")
    orphan.clock.set_wall(1_000_000.0)
    assert orphan.guard().wait() is Ending.GONE


def test_failed_overdue_undo_is_retried_after_a_pause(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, None)
    orphan.journal("node")
    guard = orphan.guard()
    assert guard.wait() is Ending.OVERDUE
    begun = orphan.clock.monotonic()
    assert guard.wait() is Ending.OVERDUE
    assert orphan.clock.monotonic() - begun > TTL


def test_unreadable_journal_is_reported_and_waited_for(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, None, b"")
    orphan.file.mkdir()
    guard = orphan.guard()
    assert guard.wait() is Ending.GONE
    (failure,) = guard.undo_entries(Ending.GONE)
    assert "undo.jsonl" in failure


# The command that it is.


def _command(folder: Path, monkeypatch: pytest.MonkeyPatch, *endings: Ending, failed: tuple[str, ...] = ()) -> Any:
    """``harness sweep --orphaned`` with a guard that sees these endings, on a cluster that nobody answers for."""
    happened: list[str] = []
    left = list(endings)

    class Seeing(deadman.Guard):
        def wait(self) -> Ending:
            return left.pop(0)

        def undo_entries(self, ending: Ending) -> list[str]:
            happened.append(f"take back {ending.name}")
            return list(failed)

    def nobody(_options: Any) -> Cluster:
        happened.append("sweep")
        raise ClusterUnreachable("nobody answers")

    monkeypatch.setattr("harness.safety.cleanup.deadman.Guard", Seeing)
    monkeypatch.setattr("harness.cli.sweep._cluster", nobody)
    journal = ["--orphaned", str(folder / "undo.jsonl"), "--made", "1", "--run", "run1"]
    return main(["sweep", *journal, "--cluster=local-none"]), happened


def test_dead_run_is_replayed_from_disk_and_then_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _command(tmp_path, monkeypatch, Ending.GONE) == (1, ["take back GONE", "sweep"])


def test_switch_keeps_waiting_after_an_overdue_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, happened = _command(tmp_path, monkeypatch, Ending.OVERDUE, Ending.IN_ORDER)
    assert (code, happened) == (0, ["take back OVERDUE", "sweep"])


def test_remaining_effects_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.cli.sweep._sweep_once", lambda _options: 0)
    code, _ = _command(tmp_path, monkeypatch, Ending.GONE, failed=("switch on n1: it is still switched off",))
    assert code == 1
    assert "switch on n1: it is still switched off" in capsys.readouterr().err


def test_the_nodes_of_kind_are_reached_without_the_api(tmp_path: Path) -> None:
    """Its API server is asked neither when the cluster is attached to nor for which containers are here."""
    file = tmp_path / "kubeconfig"
    cluster = {"name": "kind-x", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "kind-x", "context": {"cluster": "kind-x", "user": "kind-x"}}
    user = {"name": "kind-x", "user": {}}
    file.write_text(json.dumps({"clusters": [cluster], "contexts": [context], "users": [user]}))
    options = argparse.Namespace(cluster="kind-x", resilience_kubeconfig=str(file))
    with closing(_cluster_without_api(options)) as made:
        assert isinstance(made.nodes(), KindNodes)
