"""The dead-man switch: a run that is gone is swept by a process that outlives it, a run that ends in order is not."""

from __future__ import annotations

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

from harness import deadman
from harness.cli import main
from harness.cli_sweep import _machines
from harness.clock import FakeClock
from harness.cluster.fake import FakeCluster
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.protocol import Cluster
from harness.deadman import ALL_IS_WELL, LOOK_EVERY, TRY_FOR, DeadMan, Ending
from harness.errors import ApiError, ClusterUnreachable, HarnessError, UndoFailed
from harness.settings import Keep
from harness.turns import Turns
from harness.undo import Journal, read_journal
from harness.undo_copy import find_copies
from tests.fake_plugin import Mark, kinds
from tests.fake_run import EXPERIMENT, PATIENCE, Stage

MARKED = (
    EXPERIMENT.replace("podKill: {selector: app=shop, count: 1}", "mark: {}")
    .replace("recoveryTime: {of: deployment/shop, max: 10s}", "told: {}")
    .partition("twins:")[0]
)
ROOT = Path(__file__).parents[2]
# A run that arms the switch, says which process it is, and is killed; its cluster is none, so the sweep says so.
DOOMED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from harness.clock import SystemClock
from harness.deadman import DeadMan
from harness.turns import Turns
folder = Path(sys.argv[1])
nowhere = SimpleNamespace(context="nowhere", kubeconfig=folder / "kubeconfig")
with Turns(folder, SystemClock(), print).taken("it", lambda: None, alone=True):
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
        monkeypatch.setattr(f"harness.registry.{kind}", found)
    monkeypatch.setattr("harness.site.DeadMan", Guard)
    monkeypatch.setattr("harness.site.MACHINES_ARE_HERE", frozenset({"fake"}))
    return Stage(tmp_path)


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


def test_no_turn_begins_before_it_has_taken_back_what_a_killed_run_left(tmp_path: Path) -> None:
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
            with Turns(tmp_path, FakeClock(), pytest.fail).taken("next", let_it_end, alone=False):
                assert waits == [True]
        finally:
            if not waits:
                os.kill(number, signal.SIGCONT)
            os.close(guard)


def test_one_that_is_stood_down_keeps_nobody_waiting(tmp_path: Path) -> None:
    made = _armed(tmp_path)
    try:
        with (
            pytest.raises(HarnessError, match="armed"),
            Turns(tmp_path, FakeClock(), pytest.fail).taken("next", _armed_still, alone=True),
        ):
            pytest.fail("it is not its turn")
    finally:
        made.stand_down()
    with Turns(tmp_path, FakeClock(), pytest.fail).taken("next", _armed_still, alone=True):
        pass


def test_one_that_is_slow_to_end_is_no_error_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has been told; on a busy machine it reads that later."""
    monkeypatch.setattr("harness.deadman.STOP_WITHIN", 0.0)
    made = _armed(tmp_path)
    made.stand_down()
    assert made._process.wait(PATIENCE) == 0
    assert (tmp_path / "deadman.log").read_text() == ""


def test_it_has_a_session_of_its_own(tmp_path: Path) -> None:
    """A Ctrl-C or a closed terminal, which ends the run, must not end what takes the run back."""
    made = _armed(tmp_path)
    try:
        assert os.getsid(made._process.pid) != os.getsid(0)
    finally:
        made.stand_down()


def test_it_is_armed_before_a_disruptive_fault_and_stood_down_at_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject = Mark.inject

    def watched(self: Mark, *arguments: Any) -> None:
        assert [guard.told for guard in MADE] == [[]]
        inject(self, *arguments)

    monkeypatch.setattr(Mark, "disruptive", True)
    monkeypatch.setattr(Mark, "inject", watched)
    stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert [guard.told for guard in MADE] == [["all is well"]]


def test_it_takes_over_what_the_run_could_not_take_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mark, "disruptive", True)
    text = MARKED.replace("mark: {}", "mark: {fails: undo}").replace("hypothesis:", "disruptive: true\nhypothesis:")
    with pytest.raises(UndoFailed):
        stage.play(stage.experiment(text))
    assert [guard.told for guard in MADE] == [["take over"]]


def test_it_takes_over_after_a_bug_in_an_undo(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(Mark, "disruptive", True)
    monkeypatch.setattr(Mark, "undo", buggy)
    with pytest.raises(ZeroDivisionError):
        stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert [guard.told for guard in MADE] == [["take over"]]


def test_it_is_stood_down_when_a_namespace_stays_on_purpose(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mark, "disruptive", True)
    stage.keep = Keep.ALWAYS
    stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert [guard.told for guard in MADE] == [["all is well"]]


def test_what_stays_in_the_api_needs_none(stage: Stage) -> None:
    stage.play(stage.experiment(MARKED))
    assert MADE == []


def test_on_a_cluster_whose_machines_are_elsewhere_there_is_none(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.site.MACHINES_ARE_HERE", frozenset({"local"}))
    monkeypatch.setattr(Mark, "disruptive", True)
    stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert MADE == []
    assert isinstance(stage.cluster, FakeCluster)


def test_one_that_takes_over_is_not_waited_for(tmp_path: Path) -> None:
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
            say=self.said.append,
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


def test_what_is_heard_is_what_the_run_wrote() -> None:
    ours, theirs = os.pipe()
    try:
        assert deadman.listen(0.0, ours) is None
        os.write(theirs, b"all")
        assert deadman.listen(PATIENCE, ours) == b"all"
        os.close(theirs)
        assert deadman.listen(PATIENCE, ours) == b""
    finally:
        os.close(ours)


def test_of_a_run_that_is_gone_everything_is_taken_back_in_reverse_and_no_lease_is_asked(tmp_path: Path) -> None:
    """Another process of the run may renew the Lease that they share: the journal is this one's alone."""
    orphan = Orphan(tmp_path)
    orphan.journal("namespace", "node")
    before = len(orphan.cluster.server.calls)
    guard = orphan.guard(made=1)
    assert guard.take_back(guard.wait()) == []
    assert orphan.undone == ["node", "namespace"]
    assert orphan.states() == ["done", "done"]
    assert not [call for call in orphan.cluster.server.calls[before:] if "leases" in call.path]
    assert find_copies(orphan.cluster.api) == []


def test_without_an_api_a_machine_is_taken_back_all_the_same(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path)
    orphan.journal("node")
    orphan.cluster.server.fail_next(0, count=100_000)
    assert orphan.guard().take_back(Ending.GONE) == []
    assert orphan.undone == ["node"]


@pytest.mark.parametrize("error", [ClusterUnreachable("it is locked"), OSError("no file handles"), ZeroDivisionError()])
def test_a_cluster_that_cannot_be_reached_at_first_is_tried_again(tmp_path: Path, error: Exception) -> None:
    orphan = Orphan(tmp_path)
    orphan.journal("node")
    orphan.unreachable = [error] * 5
    assert orphan.guard().take_back(Ending.GONE) == []
    assert orphan.undone == ["node"]


@pytest.mark.parametrize("error", [HarnessError("it resists"), ApiError(403, "Forbidden", "no"), ZeroDivisionError()])
def test_an_undo_that_fails_is_tried_again(tmp_path: Path, error: Exception) -> None:
    orphan = Orphan(tmp_path)
    orphan.journal("node")
    orphan.in_the_way = [error] * 5
    assert orphan.guard().take_back(Ending.GONE) == []
    assert orphan.states() == ["done"]


def test_what_never_can_be_taken_back_is_told_after_a_bounded_time(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path)
    orphan.journal("node")
    orphan.in_the_way = [HarnessError("it resists")] * 10_000
    begun = orphan.clock.monotonic()
    assert orphan.guard().take_back(Ending.GONE) == ["take back node: it resists"]
    assert TRY_FOR <= orphan.clock.monotonic() - begun < TRY_FOR + 60.0
    assert orphan.states() == ["failed"]


def test_a_run_that_left_nothing_is_none_to_connect_for(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path)
    orphan.unreachable = [HarnessError("nobody is there")]
    assert orphan.guard().take_back(Ending.GONE) == []
    orphan.journal("node").undo_all({"test": orphan._undo})
    assert orphan.guard().take_back(Ending.GONE) == []
    assert orphan.unreachable


def test_of_a_run_that_hangs_the_effects_are_taken_back_when_their_time_is_over(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, None)
    orphan.journal("namespace", "node", "other node")
    guard, begun = orphan.guard(made=1), orphan.clock.monotonic()
    assert guard.wait() is Ending.OVERDUE
    assert TTL < orphan.clock.monotonic() - begun <= TTL + 2 * LOOK_EVERY
    assert guard.take_back(Ending.OVERDUE) == []
    assert orphan.undone == ["other node", "node"]
    assert orphan.states() == ["pending", "done", "done"]
    assert len(find_copies(orphan.cluster.api)) == 1, "the namespace is still to be taken back"
    orphan.script = [b""]
    assert guard.wait() is Ending.GONE


def test_a_run_inside_its_time_is_left_alone_however_old_its_first_effect_is(tmp_path: Path) -> None:
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


def test_a_namespace_that_is_older_than_its_time_makes_no_run_overdue(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, *[None] * 200, b"")
    orphan.journal("namespace", "node").undo_all({"test": orphan._undo}, after=1)
    assert orphan.guard(made=1).wait() is Ending.GONE


def test_a_wall_clock_that_is_set_makes_no_run_overdue(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, None, None, b"")
    orphan.journal("node")
    orphan.clock.set_wall(1_000_000.0)
    assert orphan.guard().wait() is Ending.GONE


def test_what_resisted_when_it_was_overdue_is_not_tried_without_a_pause(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, None)
    orphan.journal("node")
    guard = orphan.guard()
    assert guard.wait() is Ending.OVERDUE
    begun = orphan.clock.monotonic()
    assert guard.wait() is Ending.OVERDUE
    assert orphan.clock.monotonic() - begun > TTL


def test_a_journal_that_cannot_be_read_is_told_and_waited_for(tmp_path: Path) -> None:
    orphan = Orphan(tmp_path, None, b"")
    orphan.file.mkdir()
    guard = orphan.guard()
    assert guard.wait() is Ending.GONE
    (failure,) = guard.take_back(Ending.GONE)
    assert "undo.jsonl" in failure


# The command that it is.


def _command(folder: Path, monkeypatch: pytest.MonkeyPatch, *endings: Ending, failed: tuple[str, ...] = ()) -> Any:
    """``harness sweep --orphaned`` with a guard that sees these endings, on a cluster that nobody answers for."""
    happened: list[str] = []
    left = list(endings)

    class Seeing(deadman.Guard):
        def wait(self) -> Ending:
            return left.pop(0)

        def take_back(self, ending: Ending) -> list[str]:
            happened.append(f"take back {ending.name}")
            return list(failed)

    def nobody(_options: Any) -> Cluster:
        happened.append("sweep")
        raise ClusterUnreachable("nobody answers")

    monkeypatch.setattr("harness.deadman.Guard", Seeing)
    monkeypatch.setattr("harness.cli_sweep._cluster", nobody)
    journal = ["--orphaned", str(folder / "undo.jsonl"), "--made", "1", "--run", "run1"]
    return main(["sweep", *journal, "--context", "local-none"]), happened


def test_a_run_that_is_gone_is_replayed_from_disk_and_then_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _command(tmp_path, monkeypatch, Ending.GONE) == (1, ["take back GONE", "sweep"])


def test_one_that_was_overdue_is_waited_for_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, happened = _command(tmp_path, monkeypatch, Ending.OVERDUE, Ending.IN_ORDER)
    assert (code, happened) == (0, ["take back OVERDUE", "sweep"])


def test_what_it_could_not_take_back_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.cli_sweep._sweep_once", lambda _options: 0)
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
    options = SimpleNamespace(context="kind-x", kubeconfig=file)
    with closing(_machines(options)) as made:  # type: ignore[arg-type]
        assert isinstance(made.nodes(), KindNodes)
