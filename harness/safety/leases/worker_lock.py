"""The worker lock: while a disruptive experiment runs, no other experiment of the same run does.

The run's claim on a cluster (``harness.safety.leases.claim``) keeps other runs out. The pytest-xdist workers share that
claim; file locks in the run's folder keep them apart, and the kernel releases them when a worker dies. The worker's
effects on machines then still exist, so its dead-man switch (``harness.safety.cleanup.deadman``) holds a lock as well,
until it has undone them.
"""

from __future__ import annotations

import fcntl
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.common.clock import Clock
from harness.common.waiting import wait_until

LOOK_AGAIN = 0.2
# The room is a shared lock for ordinary experiments and an exclusive one for a disruptive experiment. An experiment
# holds the door while it waits for the room, so that ordinary ones cannot overtake a disruptive one. The holder of the
# room waits only for the dead-man switches, and these wait for no lock, so no deadlock is possible.
DOOR, ROOM, MACHINES = ".turn-door", ".turn-room", ".turn-machines"
MACHINES_BACK = "the dead-man switch to undo an experiment's effects on machines"


@contextmanager
def held_machines(folder: Path) -> Iterator[int]:
    """Yield a file descriptor to pass to a child process. No experiment of the run in this folder begins while the body
    or that process holds it. Raises OSError."""
    with (folder / MACHINES).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield file.fileno()


class WorkerLock:
    """Lets one worker process begin an experiment. ``progress`` receives one line if it has to wait."""

    def __init__(self, folder: Path, clock: Clock, progress: Callable[[str], None]) -> None:
        self._folder, self._clock, self._progress = folder, clock, progress

    @contextmanager
    def taken(self, what: str, go_on: Callable[[], None], *, alone: bool) -> Iterator[None]:
        """Hold the lock during the body: ``alone``, or shared with others that are not alone.

        Waits without a limit, calling ``go_on`` before each attempt, which may raise to end the wait. Raises OSError.
        """
        others = "experiments of this run to end" if alone else "an experiment with exclusive use of the cluster"
        wait = self._waiting(f"{what}: waiting for {others}", go_on)
        with ExitStack() as stack:
            with self._held(DOOR, fcntl.LOCK_EX, wait):
                stack.enter_context(self._held(ROOM, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, wait))
            # Released at once: it only waits until no dead-man switch holds the lock.
            with self._held(MACHINES, fcntl.LOCK_EX, self._waiting(f"{what}: waiting for {MACHINES_BACK}", go_on)):
                pass
            yield

    def _waiting(self, line: str, go_on: Callable[[], None]) -> Callable[[], None]:
        looks = itertools.count(1)

        def wait() -> None:
            go_on()
            # The first attempt may only have met a worker that held the door for a moment.
            if next(looks) == 2:
                self._progress(line)

        return wait

    @contextmanager
    def _held(self, name: str, how: int, wait: Callable[[], None]) -> Iterator[None]:
        with (self._folder / name).open("a") as file:

            def look() -> tuple[bool | None, str]:
                try:
                    # Non-blocking, so that a halt or Ctrl-C can end the wait between two attempts.
                    fcntl.flock(file, how | fcntl.LOCK_NB)
                except BlockingIOError:
                    wait()
                    return None, ""
                return True, ""

            wait_until("the worker lock", look, math.inf, self._clock, LOOK_AGAIN)
            # Closing the file unlocks it.
            yield
