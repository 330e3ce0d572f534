"""What metrics.k8s.io serves about the pods: the same numbers that an autoscaler reads, and how old they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.quantities import amount_of
from harness.cluster.kube.resources import POD_METRICS
from harness.common.errors import ApiError
from harness.model.timeline import Observation
from harness.probes.base import ProbeContext
from harness.probes.conditions import moment

SERIES = "podMetrics"
PERMISSIONS = allow(POD_METRICS, "list")


class PodMetricsProbe:
    """Series ``podMetrics``, subject ``<pod>``: one observation for each new sample, and one for each new error.

    The API has no watch for these objects, so they are polled.
    """

    def __init__(self, api: KubeApi) -> None:
        # A connection of its own: it is used in a thread.
        self._api = api
        self._seen: dict[str, str] = {}
        self._error: str | None = None

    def observations(self, context: ProbeContext) -> Iterator[Observation]:
        """Read the samples of all pods in the namespace once, and yield those that are new."""
        try:
            items = self._api.list(POD_METRICS, context.namespace).items
            error = None
        except ApiError as failed:
            items, error = [], str(failed)
        at = context.timeline.offset(context.clock.monotonic())
        if error and error != self._error:
            yield Observation(SERIES, "", at, None, error)
        self._error = error
        for item in items:
            name, taken = item["metadata"]["name"], item.get("timestamp", "")
            if self._seen.get(name) != taken:
                self._seen[name] = taken
                yield Observation(SERIES, name, at, _value(item), wall=moment(taken))

    def close(self) -> None:
        """Close the connection."""
        self._api.close()


def _value(item: Object) -> dict[str, Any]:
    usage = {each["name"]: each.get("usage") or {} for each in item.get("containers") or ()}
    return {
        "window": item.get("window", ""),
        "containers": {
            name: {resource: amount_of(amount) for resource, amount in used.items()} for name, used in usage.items()
        },
    }
