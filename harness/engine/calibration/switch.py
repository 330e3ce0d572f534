"""Objects in the cluster whose readiness the harness changes itself: the truth for the clocks that watch the API.

The true time of a change is when the API server accepts it, which is within the call that makes it. No other component
may write these objects. So the pod is never scheduled, which means that no kubelet updates its status; and the Service
has no selector, so that no controller writes its EndpointSlice.
"""

from __future__ import annotations

from datetime import UTC, datetime

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.resources import ENDPOINT_SLICES, PODS, Resource
from harness.common.clock import Clock
from harness.common.waiting import wait_until
from harness.model.timeline import Interval

# No such scheduler exists, so the pod stays Pending.
NO_SCHEDULER = "resilience-calibration"
# RFC 5737: an address reserved for documentation, which no host uses.
NOWHERE = "192.0.2.1"
PATIENCE = 30.0


class ReadinessSwitch:
    """A Deployment of one pod that never runs (``deployment/<name>``), and an EndpointSlice (``service/<name>``)."""

    def __init__(self, api: KubeApi, namespace: str, name: str, clock: Clock) -> None:
        self.name = name
        self._api, self._namespace, self._clock = api, namespace, clock
        self._pod = self._wait_for_pod()

    @staticmethod
    def objects(name: str, image: str) -> list[Object]:
        """Return Deployment, Service and EndpointSlice to apply. The Deployment never becomes ready by itself."""
        labels = {"app": name}
        spec = {"schedulerName": NO_SCHEDULER, "containers": [{"name": "calibration", "image": image}]}
        return [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"ports": [{"port": 80}]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "ports": [{"port": 80}],
                "endpoints": [_endpoint(ready=True)],
            },
        ]

    def switch_pod(self, *, ready: bool) -> Interval:
        """Make the pod ready or not ready; return the monotonic times around the call. Raises ApiError."""
        changed = datetime.fromtimestamp(self._clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": changed}
        return self._change(PODS, self._pod, {"status": {"phase": "Running", "conditions": [condition]}}, "status")

    def switch_endpoint(self, *, ready: bool) -> Interval:
        """Make the endpoint ready or not ready; return the monotonic times around the call. Raises ApiError."""
        return self._change(ENDPOINT_SLICES, self.name, {"endpoints": [_endpoint(ready=ready)]})

    def _change(self, resource: Resource, name: str, body: Object, part: str | None = None) -> Interval:
        low = self._clock.monotonic()
        self._api.patch(resource, name, body, self._namespace, subresource=part)
        return Interval(low, self._clock.monotonic())

    def _wait_for_pod(self) -> str:
        def look() -> tuple[str | None, str]:
            pods = self._api.list(PODS, self._namespace, f"app={self.name}").items
            return (
                (str(pods[0]["metadata"]["name"]), "") if pods else (None, "its Deployment has not created a pod yet")
            )

        return wait_until(f"the pod of {self.name}", look, PATIENCE, self._clock)


def _endpoint(*, ready: bool) -> Object:
    return {"addresses": [NOWHERE], "conditions": {"ready": ready}}
