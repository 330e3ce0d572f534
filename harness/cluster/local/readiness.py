"""Waiting for a cluster that is starting: every wait also watches the programs, and ends with the first that died."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.clock import Clock
from harness.cluster.api import KubeApi
from harness.cluster.conditions import holds
from harness.cluster.local.plan import Plan
from harness.cluster.local.processes import Programs
from harness.cluster.local.progress import Progress
from harness.cluster.resources import API_SERVICES, DEPLOYMENTS, NODES, Resource
from harness.cluster.transport import Request, Transport
from harness.errors import ApiError, ClusterBroken, TimedOut
from harness.waiting import wait_until

NODE_METRICS = Resource("metrics.k8s.io/v1beta1", "nodes", "NodeMetrics", namespaced=False)
METRICS_SERVER = "metrics-server"
ADDON_NAMESPACES = ("kube-system", "monitoring", "local-path-storage")
LOCAL_SECONDS = 30.0
API_SECONDS = 90.0
CLUSTER_SECONDS = 120.0
# A look at a file or at /readyz costs a fraction of a millisecond; one at the API some, on a machine that is busy.
LOCAL_EVERY = 0.02
API_EVERY = 0.2
REPORT_SECONDS = 15.0


class Readiness:
    """The waits of one boot. Every one raises ClusterBroken that says what it waited for and which log to read."""

    def __init__(self, programs: Programs, clock: Clock, progress: Progress) -> None:
        self._programs = programs
        self._clock = clock
        self._progress = progress

    def local(self, what: str, look: Callable[[], bool], seconds: float = LOCAL_SECONDS) -> None:
        """Wait for something that can be seen without the API."""
        self._wait(what, lambda: [] if look() else ["nothing there"], seconds, LOCAL_EVERY)

    def api_server(self, transport: Transport) -> None:
        """Wait for the API server's own word that it is ready."""

        def ready() -> bool:
            try:
                transport.send(Request("GET", "/readyz", timeout=5.0))
            except ApiError as error:
                # Its roles are made after it listens: until then it refuses everyone.
                if not error.retryable and error.status not in {401, 403}:
                    raise
                return False
            return True

        self.local("the API server", ready, API_SECONDS)

    def cluster(self, api: KubeApi, plan: Plan) -> None:
        """Wait for nodes, addons and the first measurements of every node, in this order."""
        self._wait("nodes to be Ready", lambda: unready_nodes(api, plan), CLUSTER_SECONDS, API_EVERY)
        self._progress(f"{len(plan.nodes)} nodes Ready")
        self._wait("addons to be Ready", lambda: unready_addons(api), CLUSTER_SECONDS, API_EVERY)
        self._progress("DNS, Prometheus and storage Ready")
        self._wait("metrics of all nodes", lambda: unmeasured_nodes(api, plan), CLUSTER_SECONDS, API_EVERY)
        self._progress("metrics-server Ready")

    def _wait(self, what: str, missing: Callable[[], Sequence[str]], seconds: float, every: float) -> None:
        report_at = self._clock.monotonic() + REPORT_SECONDS

        def look() -> tuple[bool | None, str]:
            nonlocal report_at
            for node, name in self._programs.known():
                self._programs.check(node, name)
            waiting = missing()
            if waiting and self._clock.monotonic() >= report_at:
                report_at += REPORT_SECONDS
                self._progress(f"still waiting for {what}: {', '.join(waiting)}")
            return (None if waiting else True), f"not yet: {', '.join(waiting)}"

        try:
            wait_until(what, look, seconds, self._clock, every)
        except TimedOut as error:
            raise ClusterBroken(f"{error}; the logs are in {self._programs.logs}") from error


def unready_nodes(api: KubeApi, plan: Plan) -> list[str]:
    """The nodes of the plan that are not Ready."""
    ready = {item["metadata"]["name"] for item in api.list(NODES).items if holds(item, "Ready")}
    return sorted({node.name for node in plan.nodes} - ready)


def unready_addons(api: KubeApi) -> list[str]:
    """The addons that are not complete, metrics-server apart, whose readiness is that it has measured."""
    return [
        item["metadata"]["name"]
        for namespace in ADDON_NAMESPACES
        for item in api.list(DEPLOYMENTS, namespace).items
        if item["metadata"]["name"] != METRICS_SERVER and not is_complete(item)
    ]


def unmeasured_nodes(api: KubeApi, plan: Plan) -> list[str]:
    """The nodes that metrics.k8s.io has no numbers of yet."""
    service = api.get(API_SERVICES, "v1beta1.metrics.k8s.io")
    if not holds(service, "Available"):
        return ["metrics.k8s.io"]
    measured = {item["metadata"]["name"] for item in api.list(NODE_METRICS).items}
    return sorted({node.name for node in plan.nodes} - measured)


def is_complete(deployment: dict[str, Any]) -> bool:
    """Whether a Deployment runs what it should, all of it available."""
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    current = int(status.get("observedGeneration", 0)) >= int(deployment["metadata"]["generation"])
    return current and status.get("updatedReplicas", 0) == wanted == status.get("availableReplicas", 0)
