"""The client's view as Prometheus metrics, so that queries can compare it with the servers' metrics.

Requests are counted in plain numbers, which are converted to metrics on each scrape. Everything runs in one thread, and
at thousands of requests per second the locks and label lookups of prometheus_client's counters would cost too much.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import INF, floatToGoString

from harness.traffic.load.behaviour import OK
from harness.traffic.load.plan import Settings
from harness.traffic.load.wire import Request

# Typical thresholds of SLOs: an objective evaluates the share of requests below one of them, never a quantile.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
LABELS = ("run", "experiment", "namespace")


class _Durations:
    """Finished requests by duration: a count per bucket, and one for all that took longer."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0


class Metrics(Collector):
    """The metrics of the load, in a separate registry: the library's default one describes the process."""

    def __init__(self, settings: Settings, in_flight: Callable[[], int]) -> None:
        self.offered = 0
        self.dropped = 0
        self._in_flight = in_flight
        self._host, self._port = settings.metrics_host, settings.metrics_port
        self._values = (settings.run, settings.experiment, settings.namespace)
        self._finished: dict[tuple[str, str], _Durations] = {}

    def observe(self, request: Request) -> None:
        """Count one finished request."""
        key = request.outcome, request.name
        seen = self._finished.get(key)
        if seen is None:
            seen = self._finished[key] = _Durations()
        seconds = request.finished - request.intended
        # bisect_left, because a bucket of Prometheus includes its upper bound.
        seen.counts[bisect_left(BUCKETS, seconds)] += 1
        seen.total += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called on every scrape."""
        yield self._counter("resilience_requests_offered", "Arrivals that were due.", self.offered)
        yield self._counter("resilience_requests_dropped", "Arrivals that were due and not started.", self.dropped)
        in_flight = GaugeMetricFamily("resilience_requests_in_flight", "Arrivals being served.", labels=LABELS)
        in_flight.add_metric(self._values, self._in_flight())
        yield in_flight
        requests = CounterMetricFamily("resilience_requests", "Finished requests.", labels=(*LABELS, "outcome", "name"))
        for key, seen in self._finished.items():
            requests.add_metric((*self._values, *key), sum(seen.counts))
        yield requests
        yield self._durations()

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "resilience_request_duration_seconds",
            "From the intended start to the end.",
            labels=(*LABELS, "good", "name"),
        )
        together: dict[tuple[str, str], list[_Durations]] = {}
        for (outcome, name), seen in self._finished.items():
            together.setdefault(("true" if outcome == OK else "false", name), []).append(seen)
        for key, parts in together.items():
            counts = [sum(column) for column in zip(*(seen.counts for seen in parts), strict=True)]
            family.add_metric((*self._values, *key), _buckets(counts), sum(seen.total for seen in parts))
        return family

    def serve(self) -> int | None:
        """Serve the metrics on the metrics host; return the port, or None without a metrics host."""
        if self._host is None:
            return None
        registry = CollectorRegistry()
        registry.register(self)
        server, _ = start_http_server(self._port, addr=self._host, registry=registry)
        return int(server.server_port)

    def _counter(self, name: str, text: str, value: int) -> Metric:
        family = CounterMetricFamily(name, text, labels=LABELS)
        family.add_metric(self._values, value)
        return family


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return cumulative buckets, as the exposition format requires."""
    return list(zip(map(floatToGoString, (*BUCKETS, INF)), map(float, accumulate(counts)), strict=True))
