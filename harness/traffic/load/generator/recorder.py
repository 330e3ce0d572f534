"""The recorder: counts every request from Locust's ``request`` event and appends it to the record file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent.lock import RLock
from gevent.os import tp_write
from locust.env import Environment

from harness.traffic.load.generator.metrics import Metrics
from harness.traffic.load.wire import Request, record_line

FLUSH_EVERY = 0.1
COUNT_EVERY = 1.0
MAX_BUFFERED = 4096
REQUEST = "resilience_request"


class RequestFailed(Exception):
    """The error that Locust's own statistics show for a failed request."""


class Recorder:
    """The only writer of the record file. It buffers at most ``MAX_BUFFERED`` lines.

    ``now`` is the clock of the records.
    """

    def __init__(
        self, file: Path, metrics: Metrics, environment: Environment, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.now = now
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._buffer: list[bytes] = []
        self._writing = RLock()
        self._metrics = metrics
        self._fire: Callable[..., None] = environment.events.request.fire
        self._counted_at = 0.0
        environment.events.request.add_listener(self._on_request)
        environment.events.quitting.add_listener(self._on_quitting)

    def arrived(self) -> None:
        """Count an arrival that is due."""
        self._metrics.offered += 1

    def dropped(self, due: float, reason: str) -> None:
        """Record an arrival that was due but not started, for a reason other than the target."""
        self._metrics.dropped += 1
        self.write(record_line("dropped", round(due, 6), reason))

    def fire(self, kind: str, request: Request, failed: str) -> None:
        """Report a request to all listeners of Locust's ``request`` event, including this recorder."""
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
            # Fired by another Locust client that a behaviour uses, which has no intended start.
            finished = self.now()
            started = finished - response_time / 1000
            outcome = type(exception).__name__ if exception else "ok"
            request = Request(started, started, finished, outcome, name, "")
        self._metrics.observe(request)
        self.write(request.line())

    def write(self, line: bytes) -> None:
        """Append a line; it is written within ``FLUSH_EVERY`` seconds."""
        self._buffer.append(line)
        if len(self._buffer) >= MAX_BUFFERED:
            self.flush()

    def keep_flushing(self) -> None:
        """Flush the buffer every ``FLUSH_EVERY`` seconds and write the totals every ``COUNT_EVERY``; never returns."""
        while True:
            gevent.sleep(FLUSH_EVERY)
            if self._buffer or self.now() - self._counted_at >= COUNT_EVERY:
                self.flush()

    def flush(self) -> None:
        """Write the buffered lines and the totals now."""
        self._counted_at = self.now()
        self._buffer.append(
            record_line("count", round(self._counted_at, 6), self._metrics.offered, self._metrics.dropped)
        )
        # Taken out before the write, since other greenlets add lines while it is in progress.
        data = b"".join(self._buffer)
        self._buffer.clear()
        # Writing in a thread lets other greenlets run, and the parts of two flushes must not mix.
        with self._writing:
            while data:
                # In a thread: a disk that is busy (for example with an fsync) must not delay the arrivals.
                data = data[tp_write(self._descriptor, data) :]

    def _on_quitting(self, **_: object) -> None:
        self.flush()
