"""Turns of one run's processes: while an experiment that hits more than its own namespace is under way, no other is.

The run's claim on a cluster (``harness.claim``) keeps other runs out; the workers of pytest-xdist share it, and are
kept apart here, by locks of the kernel on files in the run's folder: whoever dies lets go. What a dead one did to
machines is still there then, so its dead-man switch (``harness.deadman``) keeps the others out until it has ended.
"""

from __future__ import annotations

import fcntl
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.clock import Clock
from harness.waiting import wait_until

LOOK_AGAIN = 0.2
# Ordinary experiments are in the room together, a disruptive one is alone there. Who waits for the room stands in the
# door, so that no ordinary one overtakes a disruptive one. Who is in the room waits for nothing but the processes that
# take machines back, and these for no turn: no deadlock.
DOOR, ROOM, MACHINES = ".turn-door", ".turn-room", ".turn-machines"
MACHINES_BACK = "what an experiment of this run did to machines to be taken back"


@contextmanager
def machines_held(folder: Path) -> Iterator[int]:
    """A descriptor to start a process with: as long as the body or that process has it, no turn begins in the run of
    this folder. Raises OSError."""
    with (folder / MACHINES).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield file.fileno()


class Turns:
    """What a process of a run asks before it begins an experiment. ``say`` gets one line when it has to wait."""

    def __init__(self, folder: Path, clock: Clock, say: Callable[[str], None]) -> None:
        self._folder, self._clock, self._say = folder, clock, say

    @contextmanager
    def taken(self, what: str, go_on: Callable[[], None], *, alone: bool) -> Iterator[None]:
        """The body is a turn: ``alone``, or beside any others that are not. Waits for it as long as it takes, unless
        ``go_on``, which is asked at every look, raises. Raises OSError."""
        whom = "experiments of this run to end" if alone else "an experiment that must have the cluster to itself"
        wait = self._waiting(f"{what}: waiting for {whom}", go_on)
        with ExitStack() as stack:
            with self._held(DOOR, fcntl.LOCK_EX, wait):
                stack.enter_context(self._held(ROOM, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, wait))
            with self._held(MACHINES, fcntl.LOCK_EX, self._waiting(f"{what}: waiting for {MACHINES_BACK}", go_on)):
                pass
            yield

    def _waiting(self, line: str, go_on: Callable[[], None]) -> Callable[[], None]:
        looks = itertools.count(1)

        def wait() -> None:
            go_on()
            # At the first look it may be that somebody is just passing through the door.
            if next(looks) == 2:
                self._say(line)

        return wait

    @contextmanager
    def _held(self, name: str, how: int, wait: Callable[[], None]) -> Iterator[None]:
        with (self._folder / name).open("a") as file:

            def look() -> tuple[bool | None, str]:
                try:
                    fcntl.flock(file, how | fcntl.LOCK_NB)
                except BlockingIOError:
                    wait()
                    return None, ""
                return True, ""

            wait_until("a turn", look, math.inf, self._clock, LOOK_AGAIN)
            # Closing the file unlocks it.
            yield
