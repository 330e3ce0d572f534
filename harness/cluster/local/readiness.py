"""Waits for a cluster that is starting; each wait fails as soon as one of the programs has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.completeness import is_complete
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.resources import API_SERVICES, METRICS_API, NODES, WORKLOADS, Resource
from harness.cluster.kube.transport import Request, Transport
from harness.cluster.local.plan import Plan
from harness.cluster.local.processes import Programs
from harness.common.clock import Clock
from harness.common.errors import ApiError, ClusterBroken, TimedOut
from harness.common.progress import Progress
from harness.common.waiting import wait_until

NODE_METRICS = Resource("metrics.k8s.io/v1beta1", "nodes", "NodeMetrics", namespaced=False)
METRICS_SERVER = "metrics-server"
ADDON_NAMESPACES = ("kube-system", "monitoring", "storage-system")
# Seconds, far above what a quiet machine needs: on two cores all nodes were Ready after 5 s.
LOCAL_SECONDS = 30.0
API_SECONDS = 90.0
CLUSTER_SECONDS = 120.0
# Seconds between two checks. A check of a file or of /readyz takes under 1 ms, one of the API several.
LOCAL_EVERY = 0.02
API_EVERY = 0.2
REPORT_SECONDS = 15.0


class Readiness:
    """The waits of one boot. Each raises ClusterBroken with what it waited for and the folder of the logs."""

    def __init__(self, programs: Programs, clock: Clock, progress: Progress) -> None:
        self._programs = programs
        self._clock = clock
        self._progress = progress

    def local(self, what: str, look: Callable[[], bool], seconds: float = LOCAL_SECONDS) -> None:
        """Wait up to ``seconds`` for something that can be checked without the API."""
        self._wait(what, lambda: [] if look() else ["not found"], seconds, LOCAL_EVERY)

    def api_server(self, transport: Transport) -> None:
        """Wait up to ``API_SECONDS`` until ``/readyz`` of the API server returns success."""

        def ready() -> bool:
            try:
                transport.send(Request("GET", "/readyz", timeout=5.0))
            except ApiError as error:
                # It creates its roles after it starts to listen, and refuses all requests until then.
                if not error.retryable and error.status not in {401, 403}:
                    raise
                return False
            return True

        self.local("the API server", ready, API_SECONDS)

    def cluster(self, api: KubeApi, plan: Plan) -> None:
        """Wait for all nodes, all addons and the first metrics of every node, up to ``CLUSTER_SECONDS`` for each."""
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
    """Return the nodes of the plan that are not Ready."""
    ready = {item["metadata"]["name"] for item in api.list(NODES).items if holds(item, "Ready")}
    return sorted({node.name for node in plan.nodes} - ready)


def unready_addons(api: KubeApi) -> list[str]:
    """Return the addons that are not complete, without metrics-server, which ``unmeasured_nodes`` checks."""
    return [
        item["metadata"]["name"]
        for namespace in ADDON_NAMESPACES
        for resource in (WORKLOADS["deployment"], WORKLOADS["daemonset"])
        for item in api.list(resource, namespace).items
        if item["metadata"]["name"] != METRICS_SERVER and not is_complete({"kind": resource.kind, **item})
    ]


def unmeasured_nodes(api: KubeApi, plan: Plan) -> list[str]:
    """Return the nodes without metrics in metrics.k8s.io."""
    service = api.get(API_SERVICES, METRICS_API)
    if not holds(service, "Available"):
        return ["metrics.k8s.io"]
    measured = {item["metadata"]["name"] for item in api.list(NODE_METRICS).items}
    return sorted({node.name for node in plan.nodes} - measured)
