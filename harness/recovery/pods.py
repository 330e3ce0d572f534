"""The pods of one workload, replayed from the ``pods`` series in the order of the watch.

Pods are told apart by UID: a StatefulSet's replacement bears the name of the pod that was killed. That a pod is of a
workload is told by its owner, never by when it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.observation import Observation, Timeline


@dataclass(frozen=True, slots=True)
class PodSeen:
    """One watch event of one pod. ``ready`` is the Ready condition of a pod that is not on its way out; ``since`` its
    timestamp in timeline seconds, which the API server cuts to whole seconds; ``told`` the newest instant that the
    event itself tells of, alike. ``containers`` maps names to ids."""

    at: float
    name: str
    uid: str
    gone: bool
    alive: bool
    ready: bool
    since: float | None
    told: float | None
    containers: Mapping[str, str]
    restarts: Mapping[str, int]

    def restarted_since(self, before: PodSeen) -> bool:
        """Whether a container was replaced between two events of the same pod."""
        replaced = any(
            identity and self.containers.get(name, "") not in {"", identity}
            for name, identity in before.containers.items()
        )
        return replaced or any(self.restarts.get(name, 0) > count for name, count in before.restarts.items())

    def impaired_since(self, before: PodSeen) -> bool:
        """Whether this event shows that a disruption hit the pod, which ``before`` shows untouched."""
        return not self.alive or (before.ready and not self.ready) or self.restarted_since(before)


def pods_of(timeline: Timeline, workload: str) -> list[PodSeen]:
    """The watch events of a workload's pods, in order."""
    return [
        _pod(timeline, seen)
        for seen in timeline.observations("pods")
        if seen.error is None and isinstance(seen.value, Mapping) and seen.value.get("owner") == workload
    ]


def victims(timeline: Timeline) -> set[str]:
    """The UIDs of what the faults hit, pods and others."""
    return {victim.uid for injection in timeline.injections for victim in injection.victims}


def _pod(timeline: Timeline, seen: Observation) -> PodSeen:
    value: Mapping[str, Any] = seen.value
    gone = value.get("event") == "DELETED"
    alive = not (gone or value.get("deleting") or value.get("phase") in {"Succeeded", "Failed"})
    since = value.get("ready_since")
    containers: Mapping[str, Mapping[str, Any]] = value.get("containers") or {}
    return PodSeen(
        at=seen.at,
        name=seen.subject,
        uid=str(value.get("uid", "")),
        gone=gone,
        alive=alive,
        ready=alive and bool(value.get("ready")),
        since=float(since) - timeline.wall_origin if since is not None else None,
        told=seen.wall - timeline.wall_origin if seen.wall is not None else None,
        containers={name: str(state.get("id") or "") for name, state in containers.items()},
        restarts={name: int(state.get("restarts") or 0) for name, state in containers.items()},
    )
