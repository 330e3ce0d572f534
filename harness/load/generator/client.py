"""What a behaviour sends its requests with: the Client of one arrival (see ``harness.load.behaviour``)."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

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
    """See ``harness.load.behaviour.Call``. A class and no generator: this is entered for every request."""

    __slots__ = ("_client", "_intended", "_key", "_kind", "_name", "_started", "outcome")

    def __init__(self, client: ArrivalClient, kind: str, name: str, key: str) -> None:
        self.outcome = OK
        self._client, self._kind, self._name, self._key = client, kind, name, key

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._intended = self._client.intended_of_next(self._started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        finished = time.monotonic()
        limit = None
        if error is not None:
            if not isinstance(error, OSError):
                return False
            self.outcome = outcome_of(error)
            limit = _OWN_LIMITS.get(error.errno or 0)
        request = Request(self._intended, self._started, finished, self.outcome, self._name, self._key)
        self._client.ended(self._kind, request, limit)
        return True


class ArrivalClient:
    """The client of one arrival; without ``intended`` it is a probe, of which nothing is recorded."""

    __slots__ = ("_connections", "_intended", "_is_probe", "_recorder", "last_outcome", "run")

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
            reply = self._connections.exchange(method, path, body, headers)
            call.outcome = check(reply)
        return reply

    def measure(self, kind: str, name: str, key: str = "") -> MeasuredCall:
        """See ``harness.load.behaviour.Client``."""
        return MeasuredCall(self, kind, name, key)

    def intended_of_next(self, started: float) -> float:
        """The first request answers for the time that the arrival waited; one that follows starts when it starts."""
        intended, self._intended = self._intended, None
        return started if intended is None else intended

    def ended(self, kind: str, request: Request, limit: str | None) -> None:
        """Record a request; one that met a limit of this machine's as dropped."""
        self.last_outcome = request.outcome
        if self._is_probe:
            return
        if limit:
            self._recorder.dropped(request.intended, limit)
        else:
            self._recorder.fire(kind, request, "" if request.outcome == OK else request.outcome)
