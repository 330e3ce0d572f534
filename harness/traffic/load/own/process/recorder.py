"""The record of a locustfile's requests: one JSON text per line, as described in ``harness.traffic.load.wire``."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
from gevent.lock import RLock
from gevent.os import tp_write
from locust.env import Environment

from .outcomes import LONGEST, OK, outcome
from .scrub import Scrubber

FLUSH_EVERY = 0.1
COUNT_EVERY = 1.0
MAX_BUFFERED = 4096
# Without `name=` every URL is a separate name, and a record of a million names would be of no use to anyone.
MAX_NAMES, MAX_OUTCOMES, MAX_EXCEPTIONS = 1000, 100, 100
# How far a client's start may be before what its response time says: its start may be that of a redirect's first part.
LONGEST_REQUEST = 3600.0


class Recorder:
    """The only writer of the record file."""

    def __init__(self, file: Path, scrub: Scrubber, host: str) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._scrub, self._authority = scrub, _authority(host)
        self._buffer: list[str] = []
        self._writing = RLock()
        self._counted_at = 0.0
        self._known: dict[str, dict[str, str]] = {"name": {}, "outcome": {}, "exception": {}}
        self._users: int | None = None
        self._elsewhere: Counter[str] = Counter()
        self.requests = self.offered = self.dropped = 0
        self.answered = False
        self.last_outcome = ""
        # The intended start of the arrival that a user's greenlet serves, until its first request has ended.
        self.due: dict[gevent.Greenlet, float] = {}

    def on_request(
        self,
        *,
        request_type: str = "",
        name: str = "",
        response_time: object = 0,
        response: object = None,
        exception: object = None,
        start_time: object = None,
        url: object = None,
        **_: object,
    ) -> None:
        """Record one request; the parameters are those of Locust's ``request`` event."""
        started, finished = _times(start_time, response_time)
        found = outcome(exception, response)
        self.requests += 1
        self.answered = self.answered or found == OK
        self.last_outcome = found = self._text("outcome", found, MAX_OUTCOMES, "other failures")
        shown = self._text("name", f"{request_type} {name}".strip(), MAX_NAMES, "other names")
        intended = self.due.pop(gevent.getcurrent(), started)
        times = round(min(intended, started), 6), round(started, 6), round(finished, 6)
        self.write("request", *times, found, shown, "")
        if isinstance(url, str) and url.startswith(("http://", "https://")) and _authority(url) != self._authority:
            self._elsewhere[_authority(url)] += 1

    def on_user_error(self, exception: BaseException, **_: object) -> None:
        """Count an exception of a task; Locust prints its traceback."""
        text = f"{type(exception).__name__}: {exception}".replace("\n", " ")[:LONGEST]
        self.last_outcome = text = self._text("exception", text, MAX_EXCEPTIONS, "other exceptions")
        self.write("exception", round(time.monotonic(), 6), text)

    def unfinished(self, started: float, name: str) -> None:
        """Record a request that had not ended when the load was stopped."""
        shown = self._text("name", name, MAX_NAMES, "other names")
        self.write("unfinished", round(started, 6), shown)

    def note(self, text: str) -> None:
        """Record something that the report must mention."""
        self.write("note", round(time.monotonic(), 6), self._scrub(text))

    def write(self, kind: str, *values: object) -> None:
        """Append a record; it is written within ``FLUSH_EVERY`` seconds."""
        self._buffer.append(json.dumps([kind, *values], separators=(",", ":")) + "\n")
        if len(self._buffer) >= MAX_BUFFERED:
            self.flush()

    def keep_flushing(self, environment: Environment) -> None:
        """Write the buffer, the number of users and the totals regularly; never returns."""
        while True:
            gevent.sleep(FLUSH_EVERY)
            count = environment.runner.user_count if environment.runner else 0
            if count != self._users:
                self._users = count
                self.write("users", round(time.monotonic(), 6), count)
            if self._buffer or time.monotonic() - self._counted_at >= COUNT_EVERY:
                self.flush()

    def flush(self) -> None:
        """Write the buffered records and the totals now."""
        self._counted_at = now = time.monotonic()
        self.write_totals(now)
        data = "".join(self._buffer).encode()
        self._buffer.clear()
        with self._writing:
            while data:
                # In a thread: a busy disk must not delay the users.
                data = data[tp_write(self._descriptor, data) :]

    def write_totals(self, now: float) -> None:
        """Append the totals; without a rate every request that was sent is one that was due."""
        offered = self.offered or self.requests
        self._buffer.append(json.dumps(["count", round(now, 6), offered, self.dropped]) + "\n")

    def end(self, reason: str) -> None:
        """Write the last record."""
        for host, count in self._elsewhere.most_common(5):
            self.note(f"{count} requests went to {host}, which is not the target")
        self.write("end", round(time.monotonic(), 6), self._scrub(reason), None, None)
        self.flush()

    def _text(self, kind: str, text: str, most: int, other: str) -> str:
        known = self._known[kind]
        if text not in known and len(known) < most:
            known[text] = self._scrub(text)
        return known.get(text, other)


def _authority(url: str) -> str:
    """Return the host and port of a URL, without credentials."""
    return url.split("/")[2].rpartition("@")[2]


def _times(start_time: object, response_time: object) -> tuple[float, float]:
    """Return the start and the end of a request that was reported just now, in monotonic seconds.

    Clients report their start by the time of day, which may be missing, of another clock, or changed meanwhile. A
    request is also reported some time after its end, when the user's own checks are over.
    """
    now, wall = time.monotonic(), time.time()
    spent = float(response_time) / 1000 if isinstance(response_time, int | float) else 0.0
    spent = max(0.0, spent) if spent < LONGEST_REQUEST * 24 else 0.0
    latest = now - spent
    if isinstance(start_time, int | float):
        started = now - (wall - float(start_time))
        if latest - LONGEST_REQUEST < started <= latest + 0.001:
            return min(started, latest), min(started, latest) + spent
    return latest, now


def listen(environment: Environment, recorder: Recorder) -> None:
    """Record what the locustfile's users report."""
    events: Any = environment.events
    events.request.add_listener(recorder.on_request)
    events.user_error.add_listener(recorder.on_user_error)
