"""The one module that owns time and sleeping, with the fake clock that tests use beside the real one."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time in seconds. ``monotonic`` is CLOCK_MONOTONIC, which all processes of one machine share."""

    def monotonic(self) -> float:
        """Seconds that never step back; only differences mean anything."""

    def wall(self) -> float:
        """Unix seconds, for people and for Prometheus."""

    def sleep(self, seconds: float) -> None:
        """Pause this thread; a negative duration returns at once."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Pause until the event is set, at most ``seconds``; tells whether it is set."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
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
        """Set the wall clock forward or back, as somebody may set a machine's; the monotonic one goes on."""
        with self._lock:
            self._wall += by

    def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not event.is_set():
            self.advance(max(0.0, seconds))
        return event.is_set()


def parse_kubernetes_time(text: str) -> float:
    """Unix seconds of an API timestamp (RFC 3339, one-second or microsecond resolution). Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def iso(wall: float) -> str:
    """A Unix time as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
