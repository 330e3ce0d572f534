"""The control plane's clock: as many ready pods as before, no victim among them that has not been seen hit yet.

The instant is the watch's arrival; the Ready condition's timestamp, which has one second of resolution and comes from
the node's wall clock, gives the low bound, never before the fault and never after the arrival. A kubelet that was away
reports the condition as it saw it, with a timestamp from before the fault: then what others wrote meanwhile, that the
pod is not ready, bounds it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from harness.observation import Interval, Timeline
from harness.recovery.gaps import states_lost, watch_open_ended
from harness.recovery.outage import Origin, Outage, Recovery, conclude, no_data, not_disrupted, since_last
from harness.recovery.pods import PodSeen, pods_of, victims

CLOCK: Final = "control plane"


def control_plane(timeline: Timeline, workload: str, origin: Origin) -> Recovery:
    """The recovery of a workload's pods.

    With ``since`` undone a further condition holds: no unready pod of the workload is left over, since that is what
    taking back a bad rollout means. It would be wrong after a fault, when an autoscaler may be adding pods.
    """
    start = origin.disrupted.low
    events = pods_of(timeline, workload)
    replay = _Replay([event for event in events if event.at < start], strict=origin.undone)
    ready = replay.ready()
    if not ready:
        return no_data(CLOCK, workload, "no pod was seen ready before the fault")
    later = [event for event in events if event.at >= start]
    replay.expect(_desired(timeline, workload, start) or ready, victims(timeline) & replay.hit_in(later))
    found = _outages(replay, later, origin)
    if not found and states_lost(timeline, "pods", start):
        return no_data(CLOCK, workload, "the watch on pods broke, so a disruption may have gone unseen")
    if not found:
        return not_disrupted(CLOCK, workload, 0.0, f"{ready} pods stayed ready")
    if not found[-1].over and watch_open_ended(timeline, "pods"):
        return no_data(CLOCK, workload, "the watch on pods broke before they were ready again")
    return conclude(CLOCK, workload, found, origin)


def _desired(timeline: Timeline, workload: str, before: float) -> int:
    """The replicas that were wanted just before the fault, or 0 when nobody told."""
    desired = 0
    for seen in timeline.observations("workloads", workload):
        if seen.at < before and isinstance(seen.value, Mapping):
            desired = int(seen.value.get("desired") or 0)
    return desired


def _outages(replay: _Replay, events: Sequence[PodSeen], origin: Origin) -> list[Outage]:
    """The spans in which the workload was not whole. The first one begins when the disruption is seen: when the first
    victim is, or, where no pod is a victim (a node was), when fewer pods than before are ready."""
    found: list[Outage] = []
    began: float | None = None
    for event in events:
        previous = replay.last(event.uid)
        restarted = replay.apply(event)
        whole = replay.whole()
        # A container can be replaced and ready again within one event: that is an outage too, if a very short one.
        down = not whole or restarted
        if began is None and (down if found else replay.struck or (not replay.victims and not whole)):
            began = event.at
        if began is not None and whole:
            found.append(Outage(Interval(since_last(found, origin), began), _back(event, previous, origin), began))
            began = None
    if began is not None:
        found.append(Outage(Interval(since_last(found, origin), began), Interval(origin.until, math.inf), began))
    return found


def _back(event: PodSeen, previous: PodSeen | None, origin: Origin) -> Interval:
    low = origin.disrupted.low
    if event.ready and event.since is not None:
        low = max(low, event.since)
    if previous is not None and not previous.ready and previous.told is not None:
        low = max(low, min(previous.told, previous.at))
    return Interval(min(low, event.at), event.at)


class _Replay:
    """The workload's pods by UID, as far as the watch has told.

    ``awaited`` are victims that have not been seen hit yet: they look healthy, but do not count.
    """

    def __init__(self, before: Sequence[PodSeen], strict: bool) -> None:
        self._pods: dict[str, PodSeen] = {}
        self._strict = strict
        self._need = 0
        self._awaited: set[str] = set()
        self.victims: set[str] = set()
        self.struck = False
        for event in before:
            self.apply(event)
        self._before = dict(self._pods)

    def expect(self, need: int, victims: set[str]) -> None:
        """From here on, ``need`` ready pods are whole, and these victims will be seen hit."""
        self._need, self.victims, self._awaited = need, victims, set(victims)

    def apply(self, event: PodSeen) -> bool:
        """Take in one event; tells whether it shows a container replaced."""
        previous = self._pods.pop(event.uid, None)
        # Two pods of one name cannot be: where the deletion was missed, the newcomer tells of it.
        displaced = [uid for uid, pod in self._pods.items() if pod.name == event.name]
        for uid in displaced:
            del self._pods[uid]
            self._strike(uid)
        if not event.gone:
            self._pods[event.uid] = event
        if event.uid in self._awaited and event.impaired_since(self._before[event.uid]):
            self._strike(event.uid)
        return previous is not None and event.alive and event.restarted_since(previous)

    def last(self, uid: str) -> PodSeen | None:
        """The last event of a pod so far."""
        return self._pods.get(uid)

    def hit_in(self, events: Sequence[PodSeen]) -> set[str]:
        """The pods alive before the fault that these events show to be hit."""
        hit = {
            event.uid for event in events if event.uid in self._before and event.impaired_since(self._before[event.uid])
        }
        last = {event.name: event.uid for event in events}
        return hit | {uid for uid, pod in self._before.items() if last.get(pod.name, uid) != uid}

    def ready(self) -> int:
        return sum(pod.ready for pod in self._pods.values() if pod.uid not in self._awaited)

    def whole(self) -> bool:
        left_over = self._strict and any(pod.alive and not pod.ready for pod in self._pods.values())
        return self.ready() >= self._need and not left_over

    def _strike(self, uid: str) -> None:
        if uid in self._awaited:
            self._awaited.discard(uid)
            self.struck = True
