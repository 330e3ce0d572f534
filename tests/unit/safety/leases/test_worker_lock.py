"""WorkerLock among the processes of a run: a disruptive experiment is alone, and nobody waits for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.common.clock import FakeClock
from harness.common.errors import Inconclusive
from harness.safety.leases.worker_lock import MACHINES_BACK, WorkerLock, held_machines
from tests.fake_run import PATIENCE

HOLDER = """
import sys
from pathlib import Path
from harness.common.clock import SystemClock
from harness.safety.leases.worker_lock import WorkerLock

with WorkerLock(Path(sys.argv[1]), SystemClock(), print).taken("it", lambda: None, alone=True):
    print("inside", flush=True)
    sys.stdin.read()
"""


class Process(FakeClock):
    """A process of the run, played by a thread. It tells by its clock that it waits, and looks again when it is let."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.inside, self.leave, self._settled = threading.Event(), threading.Event(), threading.Event()
        self.said: list[str] = []
        self._look = threading.Semaphore(0)
        self._turns = WorkerLock(folder, self, self.said.append)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self, *, alone: bool) -> None:
        """Ask for a turn; returns when it is there or is waited for."""
        self._alone = alone
        self._thread.start()
        assert self._settled.wait(PATIENCE)

    def sleep(self, seconds: float) -> None:
        self._settled.set()
        assert self._look.acquire(timeout=PATIENCE)

    def look_again(self) -> None:
        self._look.release()

    def end(self) -> None:
        self.leave.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with self._turns.taken("it", lambda: None, alone=self._alone):
            self.inside.set()
            self._settled.set()
            assert self.leave.wait(PATIENCE)


@pytest.fixture
def process(tmp_path: Path) -> Callable[[], Process]:
    return lambda: Process(tmp_path)


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_disruptive_experiment_runs_alone(process: Callable[[], Process], first: bool, second: bool) -> None:
    one, other = process(), process()
    one.begin(alone=first)
    other.begin(alone=second)
    assert (one.inside.is_set(), other.inside.is_set()) == (True, False)
    other.look_again()
    one.end()
    other.look_again()
    assert other.inside.wait(PATIENCE)
    other.end()


def test_ordinary_experiments_share(process: Callable[[], Process]) -> None:
    one, other = process(), process()
    one.begin(alone=False)
    other.begin(alone=False)
    assert other.inside.is_set()
    assert one.said == other.said == []
    one.end()
    other.end()


def test_ordinary_experiment_does_not_overtake_a_disruptive_one(process: Callable[[], Process]) -> None:
    inside, disruptive, late = process(), process(), process()
    inside.begin(alone=False)
    disruptive.begin(alone=True)
    late.begin(alone=False)
    assert not late.inside.is_set()
    inside.end()
    disruptive.look_again()
    assert disruptive.inside.wait(PATIENCE)
    disruptive.end()
    late.look_again()
    assert late.inside.wait(PATIENCE)
    late.end()


@pytest.mark.parametrize(
    ("first", "second", "whom"),
    [
        (True, False, "an experiment with exclusive use of the cluster"),
        (False, True, "experiments of this run to end"),
    ],
)
def test_waiting_is_reported_once_and_ended_by_a_halt(tmp_path: Path, first: bool, second: bool, whom: str) -> None:
    looks: list[str | None] = [None, None, "halted by ann@desk"]
    said: list[str] = []
    turns = WorkerLock(tmp_path, FakeClock(), said.append)

    def go_on() -> None:
        halted = looks.pop(0)
        if halted:
            raise Inconclusive(halted)

    with turns.taken("other", lambda: None, alone=first):
        with pytest.raises(Inconclusive, match="halted by ann"), turns.taken("node-stop", go_on, alone=second):
            pytest.fail("it is not its turn")
        assert said == [f"node-stop: waiting for {whom}"]
        # What gave up waiting keeps nobody out of what is still free.
        if not first:
            with turns.taken("third", lambda: pytest.fail("waits"), alone=False):
                pass
    with turns.taken("fourth", lambda: pytest.fail("waits"), alone=True):
        pass


def test_lock_is_released_however_its_body_ends(tmp_path: Path) -> None:
    turns = WorkerLock(tmp_path, FakeClock(), pytest.fail)
    with pytest.raises(KeyboardInterrupt), turns.taken("one", lambda: None, alone=True):
        raise KeyboardInterrupt
    with turns.taken("other", lambda: None, alone=True):
        pass


def test_killed_process_releases_the_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "inside\n"

        def kill() -> None:
            holder.kill()
            holder.wait(PATIENCE)

        # Asked when the turn was not to be had: so it was held, and is free at the next look.
        looks: list[None] = []
        with WorkerLock(tmp_path, FakeClock(), lambda _: None).taken("it", lambda: looks.append(kill()), alone=False):
            assert len(looks) == 1


@pytest.mark.parametrize("alone", [True, False])
def test_lock_waits_until_machines_are_restored(process: Callable[[], Process], tmp_path: Path, alone: bool) -> None:
    one = process()
    with held_machines(tmp_path):
        one.begin(alone=alone)
        one.look_again()
        assert not one.inside.is_set()
    one.look_again()
    assert one.inside.wait(PATIENCE)
    # It was only looked at: the experiment whose turn it is may have machines of its own to be taken back.
    with held_machines(tmp_path):
        one.end()


def test_waiting_for_machines_is_reported_once_and_can_be_halted(tmp_path: Path) -> None:
    looks: list[str | None] = [None, None, None, "halted by ann@desk"]
    said: list[str] = []

    def go_on() -> None:
        halted = looks.pop(0)
        if halted:
            raise Inconclusive(halted)

    turns = WorkerLock(tmp_path, FakeClock(), said.append)
    with (
        held_machines(tmp_path),
        pytest.raises(Inconclusive, match="halted by ann"),
        turns.taken("node-stop", go_on, alone=True),
    ):
        pytest.fail("it is not its turn")
    assert said == [f"node-stop: waiting for {MACHINES_BACK}"]
    with turns.taken("next", lambda: pytest.fail("waits"), alone=True):
        pass
