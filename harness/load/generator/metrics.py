"""The client's own view as Prometheus metrics, so that a query can set it beside what the servers say."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server

from harness.load.behaviour import OK
from harness.load.plan import Settings
from harness.load.wire import Request

# Bounds that SLOs are written with; an objective asks for the share under one of them, never for a quantile.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
LABELS = ("run", "experiment", "namespace")


class Metrics:
    """A registry of its own: the defaults of the library describe the process, not the load."""

    def __init__(self, settings: Settings) -> None:
        # A second series for each counter, which no query of ours reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._host = settings.metrics_host
        self._values = (settings.run, settings.experiment, settings.namespace)
        self._requests = Counter(
            "resilience_requests", "Finished requests.", (*LABELS, "outcome", "name"), registry=self._registry
        )
        self._duration = Histogram(
            "resilience_request_duration_seconds",
            "From the intended start to the end.",
            (*LABELS, "good", "name"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        # Looking a child up by its labels takes longer than counting.
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self.offered = self._counter("resilience_requests_offered", "Arrivals that were due.")
        self.dropped = self._counter("resilience_requests_dropped", "Arrivals that were due and not started.")
        self._in_flight = Gauge(
            "resilience_requests_in_flight", "Arrivals being served.", LABELS, registry=self._registry
        ).labels(*self._values)

    def count_in_flight(self, count: Callable[[], int]) -> None:
        """Where the number of arrivals that are being served is asked for, whenever somebody scrapes."""
        self._in_flight.set_function(count)

    def observe(self, request: Request) -> None:
        """Count one finished request."""
        key = (request.outcome, request.name)
        if key not in self._children:
            good = "true" if request.outcome == OK else "false"
            self._children[key] = (
                self._requests.labels(*self._values, *key),
                self._duration.labels(*self._values, good, request.name),
            )
        count, duration = self._children[key]
        count.inc()
        duration.observe(request.finished - request.intended)

    def serve(self) -> int | None:
        """Serve them on a free port of the metrics host. Returns the port; None when there is no such host."""
        if self._host is None:
            return None
        server, _ = start_http_server(0, addr=self._host, registry=self._registry)
        return int(server.server_port)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, LABELS, registry=self._registry).labels(*self._values)
