"""Pods: every event of every pod of the namespace, so that no short change is missed between two polls.

Readiness is the pod's Ready condition, which includes readiness gates, not a container's flag. ``deleting`` is separate
from it, since a pod that is being deleted may stay Ready until its containers have stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.conditions import deletion_asked
from harness.cluster.kube.owners import workload_of
from harness.cluster.kube.resources import PODS
from harness.model.amounts import amounts_of
from harness.probes.base import Sighting, WatchProbe
from harness.probes.conditions import conditions, moment, newest


class PodProbe(WatchProbe):
    """Series ``pods``, subject ``<pod>``. ``wall`` is the newest timestamp in the pod."""

    series = "pods"
    resource = PODS

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        meta, status = item["metadata"], item.get("status", {})
        known = conditions(item)
        ready = known.get("Ready", {})
        is_ready = ready.get("status") == "True"
        value = {
            "event": event,
            "uid": meta.get("uid", ""),
            "owner": workload_of(item),
            "ready": is_ready,
            "phase": status.get("phase", ""),
            # Of a pod that has failed, such as Evicted.
            "reason": status.get("reason", ""),
            "deleting": "deletionTimestamp" in meta,
            "node": item.get("spec", {}).get("nodeName", ""),
            "ip": status.get("podIP", ""),
            "containers": {container["name"]: _container(container) for container in _long_running(item)},
            "requests": dict(_requests(item)),
            "liveness": dict(_liveness(item.get("spec", {}))),
            "ready_since": ready.get("since") if is_ready else None,
            "created": moment(meta.get("creationTimestamp")),
            "labels": dict(meta.get("labels") or {}),
            "images": [list(pair) for pair in sorted(set(_images(status)))],
        }
        wall = newest(value["created"], deletion_asked(meta), *(condition["since"] for condition in known.values()))
        yield Sighting(meta["name"], value, wall)


def _images(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the image of each container that has started, with the id of what the node runs under that name."""
    for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for container in status.get(kind) or ():
            if container.get("imageID"):
                yield str(container.get("image", "")), str(container["imageID"])


def _liveness(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield the times of each liveness probe in seconds, with the defaults that the API server has filled in."""
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        if probe := container.get("livenessProbe"):
            grace = probe.get("terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds", 30))
            yield (
                container["name"],
                {
                    "delay": probe.get("initialDelaySeconds", 0),
                    "period": probe.get("periodSeconds", 10),
                    "timeout": probe.get("timeoutSeconds", 1),
                    "failures": probe.get("failureThreshold", 3),
                    "grace": grace,
                },
            )


def _requests(pod: Object) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield what is reserved for each container that the kubelet has reported, as it has applied it."""
    wanted = {each["name"]: each.get("resources") for each in pod.get("spec", {}).get("containers") or ()}
    for status in pod.get("status", {}).get("containerStatuses") or ():
        # Kubelets that cannot resize a container do not report its resources: they are always those of the spec.
        resources = status.get("resources") or wanted.get(status["name"]) or {}
        yield status["name"], amounts_of(resources.get("requests"))


def _long_running(pod: Object) -> list[dict[str, Any]]:
    # An init container with restartPolicy Always is a sidecar, which runs as long as the other containers.
    sidecars = {
        container["name"]
        for container in pod.get("spec", {}).get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }
    status = pod.get("status", {})
    containers: list[dict[str, Any]] = list(status.get("containerStatuses") or ())
    return containers + [seen for seen in status.get("initContainerStatuses") or () if seen["name"] in sidecars]


def _container(status: dict[str, Any]) -> dict[str, Any]:
    state, last = status.get("state") or {}, status.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated") or {}
    return {
        "id": status.get("containerID", ""),
        "restarts": status.get("restartCount", 0),
        "ready": bool(status.get("ready")),
        "waiting": (state.get("waiting") or {}).get("reason"),
        "exit_code": ended.get("exitCode"),
        "end_reason": ended.get("reason"),
        "started": moment((state.get("running") or {}).get("startedAt")),
    }
