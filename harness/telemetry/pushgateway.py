"""``--metrics-pushgateway``: metrics pushed to a Prometheus Pushgateway.

The grouping key is ``job="resilience"`` with ``context``, and for the metrics of an experiment with ``experiment`` and,
for a twin, ``twin``: so a run replaces the metrics of what it ran, and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from prometheus_client import push_to_gateway

from harness.common.errors import HarnessError
from harness.telemetry.exposition import merged, parsed, registry_of
from harness.telemetry.metrics import Sample

JOB = "resilience"
# Seconds for one request. The time for all requests is limited by the sender.
TIMEOUT = 5.0


class Pushgateway:
    """A Pushgateway. A user and a password in its URL are sent with HTTP Basic."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
        user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._auth, self._timeout = user, timeout

    def push(self, samples: Sequence[Sample]) -> None:
        """Replace the groups of these values, with the counters and last successes that they have there added.

        Raises HarnessError. Two runs of one cluster that end within the same second may lose one count of a counter,
        since the Pushgateway itself cannot add."""
        before = self._read()
        groups: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
        for sample in samples:
            groups.setdefault(group_of(sample), []).append(sample)
        for key, group in groups.items():
            earlier = [sample for sample in before if group_of(sample) == key]
            try:
                push_to_gateway(
                    self._url,
                    job=JOB,
                    registry=registry_of(merged(earlier, group)),
                    grouping_key=dict(key),
                    timeout=self._timeout,
                    handler=self._handler,
                )
            except (OSError, ValueError) as error:
                raise HarnessError(f"{self._url}: {_why(error)}") from error

    def _read(self) -> list[Sample]:
        try:
            reply = requests.get(f"{self._url}/metrics", auth=self._auth, timeout=self._timeout, allow_redirects=False)
            _check(reply)
        except OSError as error:
            raise HarnessError(f"{self._url}: {_why(error)}") from error
        try:
            return parsed(reply.text)[0]
        except HarnessError as error:
            raise HarnessError(f"{self._url}/metrics: {error}") from error

    def _handler(
        self, url: str, method: str, timeout: float | None, headers: Sequence[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        def send() -> None:
            _check(
                requests.request(
                    method,
                    url,
                    data=data,
                    headers=dict(headers),
                    auth=self._auth,
                    timeout=timeout,
                    allow_redirects=False,
                )
            )

        return send


def group_of(sample: Sample) -> tuple[tuple[str, str], ...]:
    """Return the grouping key of a value, without the job. An empty label is left out."""
    return tuple((name, sample.labels[name]) for name in sample.metric.scope if sample.labels[name])


def _check(reply: requests.Response) -> None:
    if not reply.ok or reply.is_redirect:
        text = " ".join(reply.text[:200].split())
        raise requests.HTTPError(f"HTTP {reply.status_code} {reply.reason}{f': {text}' if text else ''}")


def _why(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return str(error)
