"""Pods: every event of every pod of the namespace, so that no dip between two polls is missed.

Readiness is the pod's Ready condition, in which readiness gates count, not a container's flag. ``deleting`` stands
beside it: a pod that is being deleted may stay Ready until its containers have stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.cluster.api import Object
from harness.cluster.resources import PODS
from harness.probe import Sighting, WatchProbe
from harness.probes.conditions import conditions, moment, newest


class PodProbe(WatchProbe):
    """Series ``pods``, subject ``<pod>``. ``wall`` is the newest instant that the pod itself tells of."""

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
            "owner": owner(item),
            "ready": is_ready,
            "phase": status.get("phase", ""),
            "deleting": "deletionTimestamp" in meta,
            "node": item.get("spec", {}).get("nodeName", ""),
            "ip": status.get("podIP", ""),
            "containers": {container["name"]: _container(container) for container in _long_running(item)},
            "ready_since": ready.get("since") if is_ready else None,
            "created": moment(meta.get("creationTimestamp")),
            "labels": dict(meta.get("labels") or {}),
        }
        wall = newest(value["created"], _deletion_asked(meta), *(condition["since"] for condition in known.values()))
        yield Sighting(meta["name"], value, wall)


def owner(pod: Object) -> str:
    """``<kind>/<name>`` of the workload that the pod belongs to; empty for a pod of its own.

    The ReplicaSet of a Deployment is named after it and the hash of its template, which its pods carry as a label: so
    the Deployment is known without asking the API, and still is when the ReplicaSet is gone.
    """
    reference = _controller(pod)
    if reference is None:
        return ""
    kind, name = str(reference["kind"]), str(reference["name"])
    template = (pod["metadata"].get("labels") or {}).get("pod-template-hash")
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        return f"deployment/{name.removesuffix(f'-{template}')}"
    return f"{kind.lower()}/{name}"


def _controller(pod: Object) -> dict[str, Any] | None:
    references: list[dict[str, Any]] = pod["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def _deletion_asked(meta: Object) -> float | None:
    """When deletion was asked for: ``deletionTimestamp`` itself lies the grace period later."""
    ends = moment(meta.get("deletionTimestamp"))
    return None if ends is None else ends - float(meta.get("deletionGracePeriodSeconds") or 0)


def _long_running(pod: Object) -> list[dict[str, Any]]:
    # An init container that restarts always is a sidecar: it runs as long as the others do.
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
    }
