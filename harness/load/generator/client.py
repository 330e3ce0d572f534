"""What a behaviour sends its requests with: the Client of one arrival (see ``harness.load.behaviour``)."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from harness.load.behaviour import OK, Reply, below_400
from harness.load.generator.http_connections import ConnectTimeout, HttpConnections, HttpReply
from harness.load.generator.recorder import Recorder
from harness.load.wire import Request

_BY_TYPE = {
    ConnectTimeout: "connect timeout",
    TimeoutError: "timeout",
    ConnectionRefusedError: "refused",
    ConnectionResetError: "reset",
    BrokenPipeError: "reset",
    socket.gaierror: "no such host",
}
_BY_NUMBER = {errno.ENETUNREACH: "unreachable", errno.EHOSTUNREACH: "no route"}
# The machine that makes the load ran out of something: that says nothing about the target.
_OWN_LIMITS = {
    errno.EADDRNOTAVAIL: "want of a local port",
    errno.EMFILE: "want of a file descriptor",
    errno.ENFILE: "want of a file descriptor",
    errno.ENOBUFS: "want of memory for sockets",
}


def outcome_of(error: OSError) -> str:
    """The short word for a request that ended with an error."""
    for kind, word in _BY_TYPE.items():
        if isinstance(error, kind):
            return word
    number = error.errno or 0
    return _BY_NUMBER.get(number) or errno.errorcode.get(number) or str(error)[:60] or type(error).__name__


class MeasuredCall:
    """See ``harness.load.behaviour.Call``."""

    __slots__ = ("outcome",)

    def __init__(self) -> None:
        self.outcome = OK


class ArrivalClient:
    """The client of one arrival; without ``intended`` it is a probe, of which nothing is recorded."""

    def __init__(
        self, connections: HttpConnections, recorder: Recorder, run: str, intended: float | None = None
    ) -> None:
        self.run = run
        self.last_outcome = "nothing was sent"
        self._connections = connections
        self._recorder = recorder
        self._is_probe = intended is None
        self._intended = intended

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        name: str = "",
        key: str = "",
        check: Callable[[Reply], str] = below_400,
    ) -> HttpReply | None:
        """See ``harness.load.behaviour.Client``."""
        reply = None
        with self.measure(method, name or f"{method} {path}", key) as call:
            reply = self._connections.exchange(method, path, body, headers or {})
            call.outcome = check(reply)
        return reply

    @contextmanager
    def measure(self, kind: str, name: str, key: str = "") -> Iterator[MeasuredCall]:
        """See ``harness.load.behaviour.Client``."""
        call = MeasuredCall()
        limit = None
        started = time.monotonic()
        # The first request answers for the time that the arrival waited; one that follows starts when it starts.
        intended, self._intended = self._intended or started, None
        try:
            yield call
        except OSError as error:
            call.outcome = outcome_of(error)
            limit = _OWN_LIMITS.get(error.errno or 0)
        self.last_outcome = call.outcome
        if self._is_probe:
            return
        if limit:
            self._recorder.dropped(intended, limit)
            return
        request = Request(intended, started, time.monotonic(), call.outcome, name, key)
        self._recorder.fire(kind, request, "" if call.outcome == OK else call.outcome)
