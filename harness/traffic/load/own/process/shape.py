"""A LoadTestShape of the user whose time starts with the baseline."""

from __future__ import annotations

import time
from typing import Any

import gevent

from .recorder import Recorder


class HeldShape:
    """Holds a shape at its start until the baseline begins, and at its last value after its end.

    With `locust` the test would end with the shape; here the observation goes on until the end of the phases.
    """

    def __init__(self, shape: Any, recorder: Recorder) -> None:  # noqa: ANN401 - any class of a locustfile
        self._shape, self._recorder = shape, recorder
        self._began: float | None = None
        self._last: Any = None
        self._over = False

    def enter(self, at: float) -> None:
        """Start the shape's time at the first phase; ``at`` is a monotonic time."""
        if self._began is None:
            self._began = at
            # Not in the next tick: those are a second apart.
            gevent.spawn_later(max(0.0, at - time.monotonic()), self._shape.reset_time)

    def tick(self) -> Any:  # noqa: ANN401
        """Return what Locust expects of a shape: users, spawn rate, and perhaps the user classes."""
        if self._began is None or time.monotonic() < self._began:
            self._shape.reset_time()
        if not self._over:
            found = self._shape.tick()
            if found is None:
                self._end()
            else:
                self._last = found
        return self._last

    def _end(self) -> None:
        self._over = True
        if self._last is None:
            raise RuntimeError("the shape ended before it had any users")
        after = time.monotonic() - (self._began if self._began is not None else time.monotonic())
        self._recorder.note(f"the shape ended {after:.0f} s after the start of the baseline: its last value was kept")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._shape, name)
