"""Turns of one run's processes: while an experiment that hits more than its own namespace is under way, no other is.

The run's claim on a cluster (``harness.claim``) keeps other runs out; the workers of pytest-xdist share it, and are
kept apart here, by locks of the kernel on files in the run's folder: whoever dies lets go.
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
# door, so that no ordinary one overtakes a disruptive one. Who is in the room waits for nothing: no deadlock.
DOOR, ROOM = ".turn-door", ".turn-room"


class Turns:
    """What a process of a run asks before it begins an experiment. ``say`` gets one line when it has to wait."""

    def __init__(self, folder: Path, clock: Clock, say: Callable[[str], None]) -> None:
        self._folder, self._clock, self._say = folder, clock, say

    @contextmanager
    def taken(self, what: str, go_on: Callable[[], None], *, alone: bool) -> Iterator[None]:
        """The body is a turn: ``alone``, or beside any others that are not. Waits for it as long as it takes, unless
        ``go_on``, which is asked at every look, raises. Raises OSError."""
        whom = "experiments of this run to end" if alone else "an experiment that must have the cluster to itself"
        looks = itertools.count(1)

        def wait() -> None:
            go_on()
            # At the first look it may be that somebody is just passing through the door.
            if next(looks) == 2:
                self._say(f"{what}: waiting for {whom}")

        with ExitStack() as stack:
            with self._held(DOOR, fcntl.LOCK_EX, wait):
                stack.enter_context(self._held(ROOM, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, wait))
            yield

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
