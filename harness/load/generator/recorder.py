"""Takes every request from Locust's ``request`` event, counts it, and appends it to the record file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent.lock import RLock
from gevent.os import tp_write
from locust.env import Environment

from harness.load.generator.metrics import Metrics
from harness.load.wire import Request, record_line

FLUSH_EVERY = 0.1
COUNT_EVERY = 1.0
MAX_BUFFERED = 4096
REQUEST = "resilience_request"


class RequestFailed(Exception):
    """What Locust's own statistics show for a request that did not end well."""


class Recorder:
    """The only writer of the record file. Its memory is bounded: it writes at the latest every 4096 lines."""

    def __init__(self, file: Path, metrics: Metrics, environment: Environment) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._buffer: list[bytes] = []
        self._writing = RLock()
        self._metrics = metrics
        self._fire: Callable[..., None] = environment.events.request.fire
        self._counted_at = 0.0
        environment.events.request.add_listener(self._on_request)
        environment.events.quitting.add_listener(self._on_quitting)

    def arrived(self) -> int:
        """One more arrival is due. Returns its number, from 1."""
        self._metrics.offered += 1
        return self._metrics.offered

    def dropped(self, due: float, reason: str) -> None:
        """An arrival that was due and not started, through no fault of the target."""
        self._metrics.dropped += 1
        self.write(record_line("dropped", round(due, 6), reason))

    def fire(self, kind: str, request: Request, failed: str) -> None:
        """Tell Locust of a request, and through its event everybody who listens, this recorder among them."""
        spent = request.finished - request.started
        self._fire(
            request_type=kind,
            name=request.name,
            response_time=spent * 1000,
            response_length=0,
            response=None,
            context={REQUEST: request},
            exception=RequestFailed(failed) if failed else None,
            start_time=time.time() - spent,
            url=None,
        )

    def _on_request(
        self, name: str, response_time: float, exception: object, context: dict[str, Request], **_: object
    ) -> None:
        request = context.get(REQUEST) if context else None
        if request is None:
            # From a client that a behaviour brought along: it knows no intended start.
            finished = time.monotonic()
            started = finished - response_time / 1000
            outcome = type(exception).__name__ if exception else "ok"
            request = Request(started, started, finished, outcome, name, "")
        self._metrics.observe(request)
        self.write(request.line())

    def write(self, line: bytes) -> None:
        """Append a line, within the next tenth of a second."""
        self._buffer.append(line)
        if len(self._buffer) >= MAX_BUFFERED:
            self.flush()

    def keep_flushing(self) -> None:
        """Write what is there ten times a second, and the totals at least once, for ever."""
        while True:
            gevent.sleep(FLUSH_EVERY)
            if self._buffer or time.monotonic() - self._counted_at >= COUNT_EVERY:
                self.flush()

    def flush(self) -> None:
        """Write everything now."""
        self._counted_at = time.monotonic()
        self._buffer.append(
            record_line("count", round(self._counted_at, 6), self._metrics.offered, self._metrics.dropped)
        )
        data = b"".join(self._buffer)
        self._buffer.clear()
        with self._writing:
            while data:
                # In a thread: a disk that is busy with somebody's fsync must not hold up the arrivals.
                data = data[tp_write(self._descriptor, data) :]

    def _on_quitting(self, **_: object) -> None:
        self.flush()
