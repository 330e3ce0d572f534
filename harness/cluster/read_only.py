"""A transport that lets nothing through that could change anything: for looking ahead at what a run would do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.cluster.transport import ExecResult, Request, Transport
from harness.errors import ClusterRefused

# Asks what the caller may do, by a POST that stores nothing.
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class ReadOnlyTransport:
    """Passes reads on. ClusterRefused for everything else, before it leaves this process."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    @property
    def server(self) -> str:
        return self._inner.server

    def send(self, request: Request) -> bytes:
        if request.method != "GET" and request.path != _REVIEWS:
            raise ClusterRefused(f"nothing is changed while looking ahead: {request.method} {request.path}")
        return self._inner.send(request)

    def stream(self, request: Request) -> Iterator[bytes]:
        return self._inner.stream(request)

    def exec(self, namespace: str, pod: str, container: str | None, command: list[str], timeout: float) -> ExecResult:
        del container, timeout
        # What a command changes cannot be seen from here.
        raise ClusterRefused(f"no command is run while looking ahead: {command[0]} in {namespace}/{pod}")

    def impersonate(self, user: str) -> None:
        self._inner.impersonate(user)

    def clone(self) -> ReadOnlyTransport:
        return ReadOnlyTransport(self._inner.clone())

    def interrupt(self) -> None:
        self._inner.interrupt()

    def close(self) -> None:
        self._inner.close()
