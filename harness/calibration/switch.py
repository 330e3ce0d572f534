"""An object in the cluster whose readiness the harness itself turns off and on: the truth of the clocks that watch.

What a clock that watches is held against is the instant at which the API server takes a change in, which lies within
the call that makes it. Nobody else may write it meanwhile. A pod that no scheduler takes has no kubelet, so that its
status is ours alone; and the EndpointSlice of a Service without a selector is written by no controller.
"""

from __future__ import annotations

from datetime import UTC, datetime

from harness.clock import Clock
from harness.cluster.api import KubeApi, Object
from harness.cluster.resources import ENDPOINT_SLICES, PODS, Resource
from harness.observation import Interval
from harness.waiting import wait_until

# Nothing answers to it, so that a pod that waits for it waits for ever.
NO_SCHEDULER = "resilience-calibration"
# RFC 5737: an address that is nobody's.
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
        """Deployment, Service and EndpointSlice; apply them, and do not wait until they are ready: they never are."""
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

    def turn_pod(self, *, ready: bool) -> Interval:
        """Make the pod ready or not; returns the monotonic bracket around the call. Raises ApiError."""
        changed = datetime.fromtimestamp(self._clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": changed}
        return self._change(PODS, self._pod, {"status": {"phase": "Running", "conditions": [condition]}}, "status")

    def turn_endpoint(self, *, ready: bool) -> Interval:
        """Make the endpoint ready or not; returns the monotonic bracket around the call. Raises ApiError."""
        return self._change(ENDPOINT_SLICES, self.name, {"endpoints": [_endpoint(ready=ready)]})

    def _change(self, resource: Resource, name: str, body: Object, part: str | None = None) -> Interval:
        low = self._clock.monotonic()
        self._api.patch(resource, name, body, self._namespace, subresource=part)
        return Interval(low, self._clock.monotonic())

    def _wait_for_pod(self) -> str:
        def look() -> tuple[str | None, str]:
            pods = self._api.list(PODS, self._namespace, f"app={self.name}").items
            return (str(pods[0]["metadata"]["name"]), "") if pods else (None, "its Deployment has made no pod yet")

        return wait_until(f"the pod of {self.name}", look, PATIENCE, self._clock)


def _endpoint(*, ready: bool) -> Object:
    return {"addresses": [NOWHERE], "conditions": {"ready": ready}}
