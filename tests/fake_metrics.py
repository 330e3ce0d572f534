"""metrics-server and an autoscaler in the fake world, as the API server and the HPA controller show them."""

from __future__ import annotations

from typing import Any

from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import API_SERVICES, AUTOSCALERS
from harness.cluster.kube.resources import METRICS_API as API
from tests.fake_world import NAMESPACE, World

METRICS_SERVER = {"namespace": "kube-system", "name": "metrics-server"}
METRIC = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 50, "averageValue": "50m"}}}


def condition(kind: str, status: bool) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": str(status)}]}


def api_service(**spec: Any) -> Object:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": API},
        "spec": {"service": {**METRICS_SERVER, "port": 443}, "group": "metrics.k8s.io", "version": "v1beta1", **spec},
        "status": condition("Available", True),
    }


def autoscaler(*metrics: Object) -> Object:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "podinfo"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}},
        "status": {**condition("ScalingActive", bool(metrics)), "currentMetrics": list(metrics)},
    }


class _Aggregator:
    """The API server and the HPA controller: both see at once whether a Service serves the metrics."""

    def react(self, store: Store, change: Change) -> None:
        if change.resource != API_SERVICES or change.type != "MODIFIED":
            return
        if not store.list(AUTOSCALERS, NAMESPACE):
            return
        service = change.object["spec"]["service"]
        served = service["name"] in {METRICS_SERVER["name"], "slow-metrics"}
        if served == _is_available(change.object):
            return
        status = condition("Available", served)
        store.update(API_SERVICES, "", API, lambda item: {**item, "status": status}, "status")
        # As the HPA controller does, which keeps the place of a metric that it cannot read.
        seen = {**condition("ScalingActive", served), "currentMetrics": [METRIC if served else {}]}
        store.update(AUTOSCALERS, NAMESPACE, "podinfo", lambda item: {**item, "status": seen}, "status")


def _is_available(item: Object) -> bool:
    return bool(item["status"] == condition("Available", True))


def metrics_server(world: World) -> None:
    """Add metrics-server's APIService, and hpa/podinfo, which reads its metrics."""
    world.cluster.server.seed(api_service(insecureSkipTLSVerify=False, caBundle="QUJD"))
    world.cluster.server.seed(autoscaler(METRIC), namespace=NAMESPACE)
    world.cluster.server.store.reactors.append(_Aggregator())
