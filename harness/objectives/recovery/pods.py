"""The pods of one workload, replayed from the ``pods`` series in the order of the watch.

Pods are distinguished by UID: a StatefulSet's replacement has the name of the pod that was killed. A pod belongs to a
workload by its owner, never by the time of its creation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model.timeline import Injection, Observation, Timeline, Victim

_DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class PodSample:
    """One watch event of one pod.

    ``ready`` is the Ready condition, False for a pod that is terminating or has ended; ``since`` is the condition's
    timestamp and ``newest`` the newest timestamp in the event, both in timeline seconds and cut to whole seconds by the
    API server. ``containers`` maps names to ids, ``started`` those that run to the start in timeline seconds,
    ``liveness`` those with a liveness probe to its times, ``requests`` all to their amounts; None if not recorded.
    """

    at: float
    name: str
    uid: str
    gone: bool
    alive: bool
    ready: bool
    since: float | None
    newest: float | None
    node: str
    containers: Mapping[str, str]
    restarts: Mapping[str, int]
    started: Mapping[str, float]
    liveness: Mapping[str, Mapping[str, float]] | None
    requests: Mapping[str, Mapping[str, float]] | None = None

    def restarted_since(self, before: PodSample) -> bool:
        """Return whether a container was replaced between two events of the same pod."""
        # The kubelet leaves the ID empty while no container exists, for example in CrashLoopBackOff; that is not yet a
        # new one.
        replaced = any(
            identity and self.containers.get(name, "") not in {"", identity}
            for name, identity in before.containers.items()
        )
        return replaced or any(self.restarts.get(name, 0) > count for name, count in before.restarts.items())

    def impaired_since(self, before: PodSample) -> bool:
        """Return whether this event shows a disruption of the pod that ``before`` does not show."""
        return not self.alive or (before.ready and not self.ready) or self.restarted_since(before)


def pods_of(timeline: Timeline, workload: str) -> list[PodSample]:
    """Return the watch events of a workload's pods, in order."""
    return [
        _pod(timeline, seen)
        for seen in timeline.observations("pods")
        if seen.error is None and isinstance(seen.value, Mapping) and seen.value.get("owner") == workload
    ]


def victims(timeline: Timeline) -> dict[str, float]:
    """Return the UIDs of the pods that the faults hit, each with the time of the first injection that hit it.

    These are the pods that are victims themselves, the pods on a victim node when it was hit, and of a victim workload
    the pods that it created after the change and those that it removed while the fault was injected. Pods of a victim
    workload that stay are not hit: that a rollout spares them is what an experiment checks.
    """
    pods = [seen for seen in timeline.observations("pods") if seen.error is None and isinstance(seen.value, Mapping)]
    found: dict[str, float] = {}
    for injection in sorted(timeline.injections, key=lambda each: each.injected.low):
        for victim in injection.victims:
            found = dict.fromkeys(_pods_hit(victim, injection, pods), injection.injected.low) | found
    return found


def _pods_hit(victim: Victim, injection: Injection, pods: Sequence[Observation]) -> set[str]:
    injected = injection.injected
    if victim.kind == "Pod":
        return {victim.uid}
    if victim.kind == "Node":
        last = {_uid(seen): seen.value for seen in pods if seen.at <= injected.high}
        return {
            uid for uid, value in last.items() if value.get("node") == victim.name and value.get("event") != _DELETED
        }
    own = [seen for seen in pods if seen.value.get("owner") == str(victim)]
    before = {_uid(seen): _is_leaving(seen) for seen in own if seen.at < injected.low}
    # A pod that leaves later was removed by the undo, or for another reason.
    until = injection.undone.low if injection.undone else math.inf
    removed = {_uid(seen) for seen in own if injected.low <= seen.at < until and _is_leaving(seen)}
    leaving_before = {uid for uid, leaving in before.items() if leaving}
    return ({_uid(seen) for seen in own} - set(before)) | (removed - leaving_before)


def _is_leaving(seen: Observation) -> bool:
    return seen.value.get("event") == _DELETED or bool(seen.value.get("deleting"))


def _uid(seen: Observation) -> str:
    return str(seen.value.get("uid", ""))


def _pod(timeline: Timeline, seen: Observation) -> PodSample:
    value: Mapping[str, Any] = seen.value
    gone = value.get("event") == _DELETED
    alive = not (gone or value.get("deleting") or value.get("phase") in {"Succeeded", "Failed"})
    since = value.get("ready_since")
    containers: Mapping[str, Mapping[str, Any]] = value.get("containers") or {}
    return PodSample(
        at=seen.at,
        name=seen.subject,
        uid=str(value.get("uid", "")),
        gone=gone,
        alive=alive,
        ready=alive and bool(value.get("ready")),
        since=float(since) - timeline.wall_origin if since is not None else None,
        newest=seen.wall - timeline.wall_origin if seen.wall is not None else None,
        node=str(value.get("node") or ""),
        containers={name: str(state.get("id") or "") for name, state in containers.items()},
        restarts={name: int(state.get("restarts") or 0) for name, state in containers.items()},
        started={
            name: float(state["started"]) - timeline.wall_origin
            for name, state in containers.items()
            if state.get("started") is not None
        },
        liveness=value.get("liveness"),
        requests=value.get("requests"),
    )
