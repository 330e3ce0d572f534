"""Progress messages for the user: plain lines with the seconds since the start."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from harness.common.clock import Clock, SystemClock


class Progress(Protocol):
    """A function that is called with a message whenever a step starts or ends."""

    def __call__(self, message: str, /) -> None: ...


class Lines:
    """The default progress output: lines on standard error."""

    def __init__(self, stream: TextIO | None = None, clock: Clock | None = None) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock or SystemClock()
        self._start = self._clock.monotonic()

    def __call__(self, message: str) -> None:
        elapsed = self._clock.monotonic() - self._start
        print(f"[{elapsed:6.1f} s] {message}", file=self._stream, flush=True)
