"""The only module that reads the time or sleeps, with a fake clock for tests."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time in seconds. ``monotonic`` is CLOCK_MONOTONIC, which all processes of a machine share."""

    def monotonic(self) -> float:
        """Return seconds that never step back; only differences between two readings are meaningful."""

    def wall(self) -> float:
        """Return Unix seconds, for display and for Prometheus queries."""

    def sleep(self, seconds: float) -> None:
        """Pause this thread; a negative duration returns at once."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait up to ``seconds`` for the event; return whether it is set."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        # ``time.sleep`` raises ValueError for a negative duration.
        time.sleep(max(0.0, seconds))

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(max(0.0, seconds))


class FakeClock:
    """A clock that moves only when something sleeps on it or ``advance`` is called."""

    def __init__(self, monotonic: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        with self._lock:
            return self._monotonic

    def wall(self) -> float:
        with self._lock:
            return self._wall

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        with self._lock:
            self._monotonic += seconds
            self._wall += seconds

    def set_wall(self, by: float) -> None:
        """Step the wall clock by ``by`` seconds, like a manual or NTP correction; the monotonic clock is unaffected."""
        with self._lock:
            self._wall += by

    def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not event.is_set():
            self.advance(max(0.0, seconds))
        return event.is_set()


def parse_kubernetes_time(text: str) -> float:
    """Convert an API timestamp (RFC 3339, second or microsecond resolution) to Unix seconds. Raises ValueError."""
    # ``fromisoformat`` accepts the ``Z`` of API timestamps from Python 3.11 on, the oldest version that is supported.
    return datetime.fromisoformat(text).timestamp()


def iso(wall: float) -> str:
    """Format Unix seconds as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
