"""The client that a behaviour uses for the requests of one arrival (see ``harness.traffic.load.behaviour``)."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Self

import gevent
from gevent.event import Event

from harness.model.operation import NOTHING, Kind, Operation, Outcome
from harness.traffic.load.behaviour import OK, Reply, below_400
from harness.traffic.load.generator.connections import ConnectTimeout, HandshakeTimeout
from harness.traffic.load.generator.http_connections import HttpConnections
from harness.traffic.load.generator.recorder import Recorder
from harness.traffic.load.wire import Request, operation_line
from harness.traffic.target.tls import tls_outcome

# In this order, since the first two are TimeoutErrors too.
_BY_TYPE = {
    ConnectTimeout: "connect timeout",
    HandshakeTimeout: "tls: handshake timeout",
    TimeoutError: "timeout",
    ConnectionRefusedError: "refused",
    ConnectionResetError: "reset",
    BrokenPipeError: "reset",
    socket.gaierror: "no such host",
}
_BY_NUMBER = {errno.ENETUNREACH: "unreachable", errno.EHOSTUNREACH: "no route"}
# The machine that generates the load is out of a resource, which is not a failure of the target.
_OWN_LIMITS = {
    errno.EADDRNOTAVAIL: "no free local port",
    errno.EMFILE: "no free file descriptor",
    errno.ENFILE: "no free file descriptor",
    errno.ENOBUFS: "no memory for sockets",
}


def outcome_of(error: OSError) -> str:
    """Return the short outcome of a request that ended with an error."""
    if isinstance(error, ssl.SSLError):
        return tls_outcome(error)
    for kind, word in _BY_TYPE.items():
        if isinstance(error, kind):
            return word
    number = error.errno or 0
    return _BY_NUMBER.get(number) or errno.errorcode.get(number) or str(error)[:60] or type(error).__name__


class MeasuredCall:
    """See ``harness.traffic.load.behaviour.Call``.

    A class instead of a ``contextmanager`` generator, which would cost too much time per request.
    """

    __slots__ = ("_client", "_intended", "_key", "_kind", "_name", "_started", "outcome")

    def __init__(self, client: ArrivalClient, kind: str, name: str, key: str) -> None:
        self.outcome = OK
        self._client, self._kind, self._name, self._key = client, kind, name, key

    def __enter__(self) -> Self:
        self._started = self._client.now()
        self._intended = self._client.intended_of_next(self._started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        finished = self._client.now()
        limit = None
        if error is not None:
            if not isinstance(error, OSError):
                return False
            self.outcome = outcome_of(error)
            limit = _OWN_LIMITS.get(error.errno or 0)
        request = Request(self._intended, self._started, finished, self.outcome, self._name, self._key)
        self._client.ended(self._kind, request, limit)
        return True


class PendingOperation:
    """See ``harness.traffic.load.behaviour.Pending``."""

    __slots__ = ("_begun", "_client", "_invoked", "outcome", "value")

    def __init__(self, client: ArrivalClient, begun: Operation) -> None:
        self._client, self._begun = client, begun
        self.outcome: Outcome = begun.outcome
        self.value = begun.value

    def __enter__(self) -> Self:
        self._invoked = self._client.now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = self._client.now()
        ended = replace(self._begun, invoked=self._invoked, completed=now, value=self.value, outcome=self.outcome)
        self._client.did(ended)


class ArrivalClient:
    """The client of one arrival; without ``intended`` it belongs to a probe, whose requests are not recorded.

    ``ended`` is set when the load has ended.
    """

    __slots__ = ("_connections", "_ended", "_intended", "_is_probe", "_recorder", "last_outcome", "now", "run")

    def __init__(
        self,
        connections: HttpConnections,
        recorder: Recorder,
        run: str,
        intended: float | None = None,
        ended: Event | None = None,
    ) -> None:
        self._ended = ended
        self.run = run
        self.last_outcome = "nothing was sent"
        self.now = recorder.now
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
    ) -> Reply | None:
        """See ``harness.traffic.load.behaviour.Client``."""
        reply = None
        with self.measure(method, name or f"{method} {path}", key) as call:
            reply = self._connections.exchange(method, path, body, headers)
            call.outcome = check(reply)
        return reply

    def pause(self, seconds: float) -> None:
        """See ``harness.traffic.load.behaviour.Client``."""
        if self._ended is not None and self._ended.wait(timeout=seconds):
            # No subclass of Exception, so that a behaviour does not handle it as an error; gevent ignores it.
            raise gevent.GreenletExit

    def connection(self) -> AbstractContextManager[socket.socket]:
        """See ``harness.traffic.load.behaviour.Client``."""
        return self._connections.connections.lent()

    def http_path(self, path: str) -> str:
        """See ``harness.traffic.load.behaviour.Client``."""
        return self._connections.connections.path(path)

    def http_headers(self) -> dict[str, str]:
        """See ``harness.traffic.load.behaviour.Client``."""
        connections = self._connections.connections
        secret = {"Authorization": connections.authorization} if connections.authorization else {}
        trace = {"traceparent": connections.traceparent} if connections.traceparent else {}
        return {"Host": connections.authority, **secret, **trace}

    def measure(self, kind: str, name: str, key: str = "") -> MeasuredCall:
        """See ``harness.traffic.load.behaviour.Client``."""
        return MeasuredCall(self, kind, name, key)

    def operation(
        self, client: int, kind: Kind, key: str, value: int = NOTHING, expected: int = NOTHING
    ) -> PendingOperation:
        """See ``harness.traffic.load.behaviour.Client``."""
        return PendingOperation(self, Operation(client, 0.0, 0.0, kind, key, value, expected, "unknown"))

    def did(self, done: Operation) -> None:
        """Record an operation on a database."""
        if not self._is_probe:
            self._recorder.write(operation_line(done))

    def intended_of_next(self, started: float) -> float:
        """Return the intended start of the next request: the arrival's for the first request, else ``started``."""
        intended, self._intended = self._intended, None
        return started if intended is None else intended

    def ended(self, kind: str, request: Request, limit: str | None) -> None:
        """Record a request; one that failed because of a limit of this machine counts as dropped."""
        self.last_outcome = request.outcome
        if self._is_probe:
            return
        if limit:
            self._recorder.dropped(request.intended, limit)
        else:
            self._recorder.fire(kind, request, "" if request.outcome == OK else request.outcome)
