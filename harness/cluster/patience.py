"""How long the calls of an API may take: repeated by the one policy, or tried once within a time that they share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from harness.clock import Clock
from harness.cluster.transport import Request, Transport
from harness.errors import ApiError
from harness.waiting import retrying


class Patience:
    """Of one ``KubeApi``, and so of one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Monotonic seconds by which the calls of ``hurried`` must be over.
        self._deadline: float | None = None

    @contextmanager
    def hurried(self, seconds: float) -> Iterator[None]:
        """Let all calls of the body together wait so many seconds at most: none is repeated, and one for which no time
        is left fails as if the connection had."""
        self._deadline = self._clock.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None

    def left(self, timeout: float, what: str) -> float:
        """A call's time-out, or what is left of the time that it shares. Raises ApiError when nothing is."""
        if self._deadline is None:
            return timeout
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise ApiError(0, "NoTimeLeft", f"{what}: no time was left for it")
        return min(timeout, left)

    def send(self, transport: Transport, request: Request) -> bytes:
        """The answer to a request that may be repeated. Raises ApiError."""
        if self._deadline is None:
            return retrying(self._clock)(transport.send, request)
        return transport.send(replace(request, timeout=self.left(request.timeout, f"{request.method} {request.path}")))
