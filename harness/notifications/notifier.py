"""Send the notifications of a run in the background: one thread and one bounded queue for each address."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.common.clock import Clock
from harness.common.errors import HarnessError
from harness.engine.notification_options import EVENTS, LEFT_BEHIND
from harness.notifications.event import Notification
from harness.results.reporting.plain import one_line

# More events wait only if an address does not answer.
MOST_WAITING = 50
# The end of a run waits at most this many seconds for all addresses together.
FLUSH_SECONDS = 30.0
_LAST = len(EVENTS)


class Sender(Protocol):
    """Delivers a notification to one address; its text is the address without secrets."""

    def send(self, message: Notification) -> object:
        """Deliver a notification. Raises HarnessError."""


@dataclass
class Channel:
    """One address: the events that it gets, and its thread. ``failures`` has one line for each undelivered event."""

    sender: Sender
    events: frozenset[str] = field(default_factory=lambda: frozenset(EVENTS))
    failures: list[str] = field(default_factory=list)
    _queue: queue.PriorityQueue[tuple[int, int, Notification | None]] = field(default_factory=queue.PriorityQueue)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _count: int = 0
    _waiting: list[Notification] = field(default_factory=list)

    def put(self, message: Notification) -> None:
        """Queue a notification; what was left behind goes first. Never blocks."""
        if message.event not in self.events:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._failed(message, f"{MOST_WAITING} others wait")
            return
        self._count += 1
        self._waiting.append(message)
        self._queue.put((0 if message.event == LEFT_BEHIND else 1, self._count, message))
        if self._thread is None:
            # A daemon, so that an address that hangs cannot keep the process alive.
            self._thread = threading.Thread(target=self._work, name=f"notify {self.sender}", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Let the thread end after the notifications that are queued."""
        if self._thread is None:
            self._ended.set()
            return
        self._queue.put((_LAST, 0, None))

    def wait(self, clock: Clock, seconds: float) -> None:
        """Wait up to ``seconds`` for the thread to end; what it has not delivered by then is a failure."""
        if not clock.wait(self._ended, seconds):
            for message in list(self._waiting):
                self._failed(message, f"not delivered within {FLUSH_SECONDS:g} s after the end of the run")

    def _work(self) -> None:
        while (message := self._queue.get()[2]) is not None:
            try:
                self.sender.send(message)
            except HarnessError as error:
                self._failed(message, str(error))
            # A fault of a sender must not end the thread without a line about it.
            except Exception as error:  # noqa: BLE001
                self._failed(message, type(error).__name__)
            self._waiting.remove(message)
        self._ended.set()

    def _failed(self, message: Notification, why: str) -> None:
        self.failures.append(one_line(f"could not notify {self.sender} of {message.event}: {why}", 300))


class Notifier:
    """The channels of a run. An address that fails or hangs delays neither the run nor the other addresses."""

    def __init__(self, clock: Clock, channels: Iterable[Channel] = ()) -> None:
        self._clock = clock
        self._channels = list(channels)

    def add(self, channels: Iterable[Channel]) -> None:
        """Add channels, for example those of a game day; they get the events from now on."""
        self._channels += channels

    def send(self, message: Notification) -> None:
        """Queue a notification for every channel that gets its event."""
        for channel in self._channels:
            channel.put(message)

    def close(self, seconds: float = FLUSH_SECONDS) -> Sequence[str]:
        """Wait up to ``seconds`` in total until all is delivered. Returns one line for each failure."""
        deadline = self._clock.monotonic() + seconds
        for channel in self._channels:
            channel.end()
        for channel in self._channels:
            channel.wait(self._clock, max(0.0, deadline - self._clock.monotonic()))
        failures = [line for channel in self._channels for line in channel.failures]
        self._channels.clear()
        return failures
