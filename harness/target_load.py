"""The load of an experiment against a Service of its workload: found, started, and scraped by Prometheus."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from harness.cluster.permissions import allow
from harness.cluster.resources import ENDPOINT_SLICES, SERVICES
from harness.cluster.services import node_port
from harness.experiment import Load
from harness.load.driver import RunningLoad
from harness.load.plan import LoadPlan
from harness.load.scrape import scrape_target
from harness.observation import LoadSummary, RequestSeen
from harness.run import Run
from harness.timeouts import LOAD_GRACE

# The load is aimed at a Service; a Service and an EndpointSlice of ours tell Prometheus where its own metrics are.
PERMISSIONS = allow(SERVICES, "get", "create", "patch") | allow(ENDPOINT_SLICES, "create", "patch")


class TargetLoad:
    """A running load. Raises Inconclusive when the Service cannot be dialled."""

    def __init__(self, run: Run, title: str, namespace: str, load: Load, *, folder: Path, seconds: float) -> None:
        self._run = run
        self._namespace = namespace
        address = run.cluster.node_port(node_port(run.cluster.api, load.service, namespace, load.port))
        plan = LoadPlan(
            profile=run.sources.load.profile(load.profile),
            rate=load.rate,
            behaviour=load.behaviour,
            options=load.options,
            host=address.host,
            port=address.port,
            run=run.id,
            experiment=title,
            namespace=namespace,
            max_seconds=seconds + LOAD_GRACE,
            command=run.cluster.load_command(),
            metrics_host=run.cluster.load_host(),
            folders=run.sources.load.folders,
        )
        self._running = RunningLoad.start(plan, folder, run.clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.stop()

    def wait_ready(self, seconds: float) -> None:
        """Wait until the generator reached its target, and let Prometheus find it. Raises Inconclusive."""
        self._running.wait_ready(seconds, self._run.go_on)
        host, port = self._run.cluster.load_host(), self._running.metrics_port
        if host is not None and port is not None:
            for item in scrape_target(self._namespace, host, port, self._run.id):
                self._run.cluster.api.apply(item, self._namespace)

    def phase(self, name: str, at: float) -> None:
        """Tell the generator that a phase began at a monotonic instant."""
        self._running.phase(name, at)

    def failure(self) -> str | None:
        """Why the generator is dead, or None while it is alive."""
        return self._running.failure()

    def requests(self, origin: float) -> list[RequestSeen]:
        """All requests so far, in seconds since a monotonic origin."""
        return self._running.requests(origin)

    def stop(self) -> LoadSummary:
        """End it; may be called again."""
        return self._running.stop()
