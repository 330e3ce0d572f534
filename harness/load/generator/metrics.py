"""The client's own view as Prometheus metrics, so that a query can set it beside what the servers say."""

from __future__ import annotations

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
        self.offered = self._counter("resilience_requests_offered", "Arrivals that were due.")
        self.dropped = self._counter("resilience_requests_dropped", "Arrivals that were due and not started.")
        self.in_flight = Gauge(
            "resilience_requests_in_flight", "Arrivals being served.", LABELS, registry=self._registry
        ).labels(*self._values)

    def observe(self, request: Request) -> None:
        """Count one finished request."""
        good = request.outcome == OK
        self._requests.labels(*self._values, request.outcome, request.name).inc()
        self._duration.labels(*self._values, "true" if good else "false", request.name).observe(
            request.finished - request.intended
        )

    def serve(self) -> int | None:
        """Serve them on a free port of the metrics host. Returns the port; None when there is no such host."""
        if self._host is None:
            return None
        server, _ = start_http_server(0, addr=self._host, registry=self._registry)
        return int(server.server_port)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, LABELS, registry=self._registry).labels(*self._values)
