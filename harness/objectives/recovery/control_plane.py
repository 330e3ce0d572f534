"""The control plane clock: recovered when as many pods are ready as before the fault.

A victim that has not been seen disrupted yet does not count as ready. The high bound of the recovery is the arrival of
the watch event. The low bound is the timestamp of the Ready condition (one second of resolution, from the node's wall
clock), limited to the time between the fault and the arrival. A kubelet that was unreachable reports the condition with
a timestamp from before the fault; then the last report by another component that the pod is not ready is the low bound.

The desired number of replicas may be lower after the fault, for example because of an autoscaler. Whether the fault
caused that cannot be determined here, so it widens the bounds and does not affect the verdict otherwise: at the low
bound the lower number of pods is ready, at the high bound the previous number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.model.quantities import show_seconds
from harness.model.reported import Status
from harness.model.timeline import Interval, Timeline
from harness.objectives.recovery.gaps import states_lost, watch_open_ended
from harness.objectives.recovery.outage import Origin, Outage, Recovery, conclude, no_data, not_disrupted, since_last
from harness.objectives.recovery.pods import PodSample, pods_of, victims

CLOCK: Final = "control plane"


def control_plane(timeline: Timeline, workload: str, origin: Origin) -> Recovery:
    """Return the recovery of a workload's pods.

    If it counts from the undo, no unready pod of the workload may be left, because a bad rollout is not undone before
    its pods are gone. After other faults this condition would be wrong: an autoscaler may be adding pods.
    """
    start = origin.disrupted.low
    events = pods_of(timeline, workload)
    before = [event for event in events if event.at < start]
    ready = _Replay(before, strict=origin.undone).ready()
    if not ready:
        return no_data(CLOCK, workload, "no pod was seen ready before the fault")
    # An event at the very instant of the fault may be its effect, so it counts as later.
    later = [event for event in events if event.at >= start]
    need = _desired_before(timeline, workload, start) or ready

    def outages(lowered: Sequence[_DesiredSample] = ()) -> list[Outage]:
        replay = _Replay(before, strict=origin.undone)
        # Without this, the wait for a victim whose disruption no event shows would not end.
        shown = replay.disrupted_by(later)
        replay.expect(need, {uid: since for uid, since in victims(timeline).items() if uid in shown})
        return _outages(replay, sorted([*later, *lowered], key=lambda step: step.at), origin)

    found = outages()
    if not found and states_lost(timeline, "pods", start):
        return no_data(CLOCK, workload, "the watch on pods was interrupted, so a disruption may have been missed")
    if not found:
        return not_disrupted(CLOCK, workload, 0.0, f"{ready} pods stayed ready")
    if not found[-1].over and watch_open_ended(timeline, "pods"):
        return no_data(CLOCK, workload, "the watch on pods was interrupted before they were ready again")
    recovery = conclude(CLOCK, workload, found, origin)
    lowered = _lowered(timeline, workload, start, need)
    if lowered:
        recovery = _with_lower_bound_of(recovery, outages(lowered), origin)
    return without_missed_relapse(recovery, timeline, "pods")


def without_missed_relapse(recovery: Recovery, timeline: Timeline, series: str) -> Recovery:
    """Return the recovery, as "no data" if states of its series after it are missing: there may have been a relapse.

    The low bound of its length stays valid. A relist at the end of a gap shows the state of that instant, so only gaps
    that end after the recovery matter.
    """
    if recovery.ended is None or recovery.length is None:
        return recovery
    if not states_lost(timeline, series, math.nextafter(recovery.ended, math.inf)):
        return recovery
    missed = f"the watch on {series} was interrupted after the recovery, so a relapse may have been missed"
    reason = f"{missed}; {recovery.reason}"
    length = Interval(recovery.length.low, math.inf)
    return replace(recovery, state="no data", length=length, likely=None, reason=reason)


@dataclass(frozen=True, slots=True)
class _DesiredSample:
    """The desired number of ready pods from an instant on."""

    at: float
    need: int


def _desired(timeline: Timeline, workload: str) -> list[_DesiredSample]:
    """Return the desired replicas over time, as far as known; unknown for a deleted workload."""
    found = [
        Status(workload, seen.at, seen.value)
        for seen in timeline.observations("workloads", workload)
        if seen.error is None and isinstance(seen.value, Mapping)
    ]
    known = [(status.at, status.count("desired")) for status in found]
    return [_DesiredSample(at, number) for at, number in known if isinstance(number, int)]


def _desired_before(timeline: Timeline, workload: str, instant: float) -> int:
    """Return the desired replicas just before an instant, or 0 if unknown."""
    return next((sample.need for sample in reversed(_desired(timeline, workload)) if sample.at < instant), 0)


def _lowered(timeline: Timeline, workload: str, start: float, need: int) -> list[_DesiredSample]:
    """Return the desired replicas from the fault on, if they were ever lower than before; otherwise nothing.

    Also nothing if the workload itself is a victim, since fewer desired replicas are then the disruption. A desired
    number of 0 is ignored: it switches the workload off, which is not a recovery.
    """
    if any(str(victim) == workload for injection in timeline.injections for victim in injection.victims):
        return []
    samples = [
        _DesiredSample(sample.at, min(sample.need or need, need))
        for sample in _desired(timeline, workload)
        if sample.at >= start
    ]
    return samples if any(sample.need < need for sample in samples) else []


def _with_lower_bound_of(recovery: Recovery, outages: Sequence[Outage], origin: Origin) -> Recovery:
    """Return the recovery with the low bound of these outages, which were computed with the lowered desired number."""
    lenient = conclude(CLOCK, recovery.subject, outages, origin).length if outages else Interval(0.0, 0.0)
    if recovery.length is None or lenient is None or lenient.low >= recovery.length.low:
        return recovery
    reason = f"{recovery.reason}; fewer replicas than before were desired meanwhile, and that many were ready "
    reason += f"{show_seconds(lenient.low)} {'after the undo' if origin.undone else 'after the fault'} at the earliest"
    return replace(recovery, length=Interval(lenient.low, recovery.length.high), reason=reason)


def _outages(replay: _Replay, steps: Sequence[PodSample | _DesiredSample], origin: Origin) -> list[Outage]:
    """Return the spans when the workload was not complete.

    The first one starts when the first victim is seen disrupted or, if no pod is a victim (but a node is), when fewer
    pods than before are ready.
    """
    found: list[Outage] = []
    began: float | None = None
    for step in steps:
        previous, restarted = None, False
        if isinstance(step, _DesiredSample):
            replay.need = step.need
        else:
            previous, restarted = replay.last(step.uid), replay.apply(step)
        complete = replay.complete()
        # A container can be replaced and ready again in a single event, which is a very short outage.
        down = not complete or restarted
        if began is None and (down if found else replay.victim_seen or (not replay.victims and not complete)):
            began = step.at
        if began is not None and complete:
            ended = Interval(step.at, step.at) if isinstance(step, _DesiredSample) else _back(step, previous, origin)
            found.append(Outage(Interval(since_last(found, origin, began), began), ended, began))
            began = None
    if began is not None:
        found.append(Outage(Interval(since_last(found, origin, began), began), Interval(origin.until, math.inf), began))
    return found


def _back(event: PodSample, previous: PodSample | None, origin: Origin) -> Interval:
    low = origin.disrupted.low
    if event.ready and event.since is not None:
        low = max(low, event.since)
    if previous is not None and not previous.ready and previous.newest is not None:
        low = max(low, min(previous.newest, previous.at))
    return Interval(min(low, event.at), event.at)


class _Replay:
    """The workload's pods by UID after the watch events so far.

    Victims that have not been seen disrupted yet (``_awaited``) still look healthy, but do not count as ready.
    """

    def __init__(self, before: Sequence[PodSample], strict: bool) -> None:
        self._pods: dict[str, PodSample] = {}
        self._strict = strict
        self.need = 0
        self._awaited: set[str] = set()
        # Victims of injections that are later than the events so far.
        self._expected: dict[str, float] = {}
        self.victims: set[str] = set()
        self.victim_seen = False
        for event in before:
            self.apply(event)
        self._before = dict(self._pods)

    def expect(self, need: int, victims: Mapping[str, float]) -> None:
        """From now on, require ``need`` ready pods, and expect to see each victim disrupted from its time on."""
        self.need, self.victims, self._expected = need, set(victims), dict(victims)

    def apply(self, event: PodSample) -> bool:
        """Apply one event; return whether it shows that a container was replaced."""
        due = {uid for uid, since in self._expected.items() if since <= event.at}
        self._awaited |= due
        self._expected = {uid: since for uid, since in self._expected.items() if uid not in due}
        previous = self._pods.pop(event.uid, None)
        # Two pods cannot have the same name: a new one shows that the old one was deleted, even if that was missed.
        displaced = [uid for uid, pod in self._pods.items() if pod.name == event.name]
        for uid in displaced:
            del self._pods[uid]
            self._mark_disrupted(uid)
        if not event.gone:
            self._pods[event.uid] = event
        if event.uid in self._awaited and event.impaired_since(self._before[event.uid]):
            self._mark_disrupted(event.uid)
        return previous is not None and event.alive and event.restarted_since(previous)

    def last(self, uid: str) -> PodSample | None:
        """Return the last event of a pod so far."""
        return self._pods.get(uid)

    def disrupted_by(self, events: Sequence[PodSample]) -> set[str]:
        """Return the UIDs of the pods alive before the fault that these events show to be disrupted."""
        impaired = {
            event.uid for event in events if event.uid in self._before and event.impaired_since(self._before[event.uid])
        }
        # A later pod with the same name but another UID shows that the first one is gone, even if its deletion was
        # missed.
        last = {event.name: event.uid for event in events}
        return impaired | {uid for uid, pod in self._before.items() if last.get(pod.name, uid) != uid}

    def ready(self) -> int:
        return sum(pod.ready for pod in self._pods.values() if pod.uid not in self._awaited)

    def complete(self) -> bool:
        left_over = self._strict and any(pod.alive and not pod.ready for pod in self._pods.values())
        return self.ready() >= self.need and not left_over

    def _mark_disrupted(self, uid: str) -> None:
        if uid in self._awaited:
            self._awaited.discard(uid)
            self.victim_seen = True
