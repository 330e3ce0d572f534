"""A transport that refuses every request that could change the cluster, for dry runs."""

from __future__ import annotations

from collections.abc import Iterator

from harness.cluster.kube.port_forward import PodStream
from harness.cluster.kube.transport import ExecResult, Request, Transport
from harness.common.errors import ClusterRefused

# The POST that checks the caller's permissions; it stores nothing.
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class ReadOnlyTransport:
    """Forwards reads. Raises ClusterRefused for everything else, without sending it."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    @property
    def server(self) -> str:
        return self._inner.server

    def send(self, request: Request) -> bytes:
        if request.method != "GET" and request.path != _REVIEWS:
            raise ClusterRefused(f"a dry run changes nothing: refused {request.method} {request.path}")
        return self._inner.send(request)

    def stream(self, request: Request) -> Iterator[bytes]:
        return self._inner.stream(request)

    def exec(self, namespace: str, pod: str, container: str | None, command: list[str], timeout: float) -> ExecResult:
        del container, timeout
        # A command may change anything.
        raise ClusterRefused(f"a dry run runs no commands: refused {command[0]} in {namespace}/{pod}")

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> PodStream:
        del timeout
        raise ClusterRefused(f"a dry run connects to no pods: refused port {port} of {namespace}/{pod}")

    def impersonate(self, user: str) -> None:
        self._inner.impersonate(user)

    def clone(self) -> ReadOnlyTransport:
        return ReadOnlyTransport(self._inner.clone())

    def interrupt(self) -> None:
        self._inner.interrupt()

    def close(self) -> None:
        self._inner.close()
