"""Time limits of API calls: retried by the policy in ``waiting``, or tried once within a shared time limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from harness.cluster.kube.transport import Request, Transport
from harness.common.clock import Clock
from harness.common.errors import ApiError
from harness.common.waiting import retrying


class Patience:
    """The time limit of one ``KubeApi``, and so of one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Monotonic deadline of the calls within ``limited_to``; None outside of it.
        self._deadline: float | None = None

    @contextmanager
    def limited_to(self, seconds: float) -> Iterator[None]:
        """Limit all calls within the ``with`` block to so many seconds in total.

        They are not retried; a call with no time left fails like one whose connection failed (ApiError, status 0).
        """
        self._deadline = self._clock.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None

    def left(self, timeout: float, what: str) -> float:
        """Return a call's time-out in seconds, at most the remaining shared time. Raises ApiError if none remains."""
        if self._deadline is None:
            return timeout
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise ApiError(0, "NoTimeLeft", f"{what}: not sent, no time was left")
        return min(timeout, left)

    def send(self, transport: Transport, request: Request) -> bytes:
        """Send an idempotent request and return the response body. Raises ApiError."""
        if self._deadline is None:
            return retrying(self._clock)(transport.send, request)
        return transport.send(replace(request, timeout=self.left(request.timeout, f"{request.method} {request.path}")))
