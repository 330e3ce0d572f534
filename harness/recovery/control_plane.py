"""The control plane's clock: as many ready pods as before, no victim among them that has not been seen hit yet.

The instant is the watch's arrival; the Ready condition's timestamp, which has one second of resolution and comes from
the node's wall clock, gives the low bound, never before the fault and never after the arrival. A kubelet that was away
reports the condition as it saw it, with a timestamp from before the fault: then what others wrote meanwhile, that the
pod is not ready, bounds it.

Fewer replicas may be wanted after the fault than before it, by an autoscaler, say. Whether that is no loss or the
fault's own doing cannot be told from here, so it widens the bounds and decides nothing: the low end is when as many as
were wanted then were ready, the high end when as many as before were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.observation import Interval, Timeline
from harness.quantities import show_seconds
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
    before = [event for event in events if event.at < start]
    ready = _Replay(before, strict=origin.undone).ready()
    if not ready:
        return no_data(CLOCK, workload, "no pod was seen ready before the fault")
    later = [event for event in events if event.at >= start]
    need = _desired(timeline, workload, start) or ready

    def outages(lowered: Sequence[_Bar] = ()) -> list[Outage]:
        replay = _Replay(before, strict=origin.undone)
        replay.expect(need, victims(timeline) & replay.hit_in(later))
        return _outages(replay, sorted([*later, *lowered], key=lambda step: step.at), origin)

    found = outages()
    if not found and states_lost(timeline, "pods", start):
        return no_data(CLOCK, workload, "the watch on pods broke, so a disruption may have gone unseen")
    if not found:
        return not_disrupted(CLOCK, workload, 0.0, f"{ready} pods stayed ready")
    if not found[-1].over and watch_open_ended(timeline, "pods"):
        return no_data(CLOCK, workload, "the watch on pods broke before they were ready again")
    recovery = conclude(CLOCK, workload, found, origin)
    lowered = _lowered(timeline, workload, start, need)
    if lowered:
        recovery = _no_sooner_than(recovery, outages(lowered), origin)
    return as_far_as_seen(recovery, timeline, "pods")


def as_far_as_seen(recovery: Recovery, timeline: Timeline, series: str) -> Recovery:
    """A recovery after which states of its series are missing is none: it may have been taken back unseen.

    What is known stays: the workload was away for at least as long as up to there. What a relist told is told at the
    instant at which its gap ends, and is the state of that instant, so only gaps that end later count.
    """
    if recovery.ended is None or recovery.length is None:
        return recovery
    if not states_lost(timeline, series, math.nextafter(recovery.ended, math.inf)):
        return recovery
    reason = f"the watch on {series} broke after the recovery, so a relapse may have gone unseen; {recovery.reason}"
    length = Interval(recovery.length.low, math.inf)
    return replace(recovery, state="no data", length=length, likely=None, reason=reason)


@dataclass(frozen=True, slots=True)
class _Bar:
    """From an instant on, so many ready pods are as many as are wanted."""

    at: float
    need: int


def _wanted(timeline: Timeline, workload: str) -> list[_Bar]:
    return [
        _Bar(seen.at, int(seen.value.get("desired") or 0))
        for seen in timeline.observations("workloads", workload)
        if seen.error is None and isinstance(seen.value, Mapping)
    ]


def _desired(timeline: Timeline, workload: str, before: float) -> int:
    """The replicas that were wanted just before the fault, or 0 when nobody told."""
    return next((bar.need for bar in reversed(_wanted(timeline, workload)) if bar.at < before), 0)


def _lowered(timeline: Timeline, workload: str, start: float, need: int) -> list[_Bar]:
    """What was wanted from the fault on, if it was ever fewer than before.

    Nothing of it counts when a fault hit the workload itself: to want fewer is then the disruption. To want none is
    to switch the workload off, which is never its recovery.
    """
    if any(str(victim) == workload for injection in timeline.injections for victim in injection.victims):
        return []
    bars = [_Bar(bar.at, min(bar.need or need, need)) for bar in _wanted(timeline, workload) if bar.at >= start]
    return bars if any(bar.need < need for bar in bars) else []


def _no_sooner_than(recovery: Recovery, outages: Sequence[Outage], origin: Origin) -> Recovery:
    """A recovery whose low end is that of these outages, in which no more pods were asked for than were wanted."""
    lenient = conclude(CLOCK, recovery.subject, outages, origin).length if outages else Interval(0.0, 0.0)
    if recovery.length is None or lenient is None or lenient.low >= recovery.length.low:
        return recovery
    reason = f"{recovery.reason}; fewer replicas than before were wanted meanwhile, and so many were ready "
    reason += f"{show_seconds(lenient.low)} {'after the undo' if origin.undone else 'after the fault'} at the earliest"
    return replace(recovery, length=Interval(lenient.low, recovery.length.high), reason=reason)


def _outages(replay: _Replay, steps: Sequence[PodSeen | _Bar], origin: Origin) -> list[Outage]:
    """The spans in which the workload was not whole. The first one begins when the disruption is seen: when the first
    victim is, or, where no pod is a victim (a node was), when fewer pods than before are ready."""
    found: list[Outage] = []
    began: float | None = None
    for step in steps:
        previous, restarted = None, False
        if isinstance(step, _Bar):
            replay.need = step.need
        else:
            previous, restarted = replay.last(step.uid), replay.apply(step)
        whole = replay.whole()
        # A container can be replaced and ready again within one event: that is an outage too, if a very short one.
        down = not whole or restarted
        if began is None and (down if found else replay.struck or (not replay.victims and not whole)):
            began = step.at
        if began is not None and whole:
            ended = Interval(step.at, step.at) if isinstance(step, _Bar) else _back(step, previous, origin)
            found.append(Outage(Interval(since_last(found, origin), began), ended, began))
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
        self.need = 0
        self._awaited: set[str] = set()
        self.victims: set[str] = set()
        self.struck = False
        for event in before:
            self.apply(event)
        self._before = dict(self._pods)

    def expect(self, need: int, victims: set[str]) -> None:
        """From here on, ``need`` ready pods are whole, and these victims will be seen hit."""
        self.need, self.victims, self._awaited = need, victims, set(victims)

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
        return self.ready() >= self.need and not left_over

    def _strike(self, uid: str) -> None:
        if uid in self._awaited:
            self._awaited.discard(uid)
            self.struck = True
