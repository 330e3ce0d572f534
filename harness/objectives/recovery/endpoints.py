"""The endpoints clock: recovered when a Service has as many ready addresses as before, without those of the victims.

The high bound of the recovery is the arrival of the watch event. The low bound is the EndpointSlice's timestamp of the
change that triggered this update or an earlier one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from harness.model.timeline import Interval, Observation, Timeline
from harness.objectives.recovery.control_plane import without_missed_relapse
from harness.objectives.recovery.gaps import states_lost, watch_open_ended
from harness.objectives.recovery.outage import Origin, Outage, Recovery, conclude, no_data, not_disrupted, since_last
from harness.objectives.recovery.pods import pods_of, victims

CLOCK: Final = "endpoints"


def endpoints(timeline: Timeline, workload: str, origin: Origin, services: Sequence[str] | None) -> list[Recovery]:
    """Return one recovery (``service/<name>``) for each of ``services``, by default for all of the workload."""
    before = _before(timeline, origin)
    chosen = services_of(timeline, workload, origin) if services is None else services
    if not chosen:
        return [no_data(CLOCK, workload, "no Service had a ready endpoint of it before the fault")]
    return [_service(timeline, origin, name, before.get(name, set())) for name in chosen]


def services_of(timeline: Timeline, workload: str, origin: Origin) -> list[str]:
    """Return the Services that had a pod of the workload among their ready addresses before the fault, sorted."""
    members = {pod.uid for pod in pods_of(timeline, workload)}
    return sorted(name for name, uids in _before(timeline, origin).items() if uids & members)


def _before(timeline: Timeline, origin: Origin) -> dict[str, set[str]]:
    before: dict[str, set[str]] = {}
    for slot in timeline.observations(CLOCK):
        if slot.at < origin.disrupted.low and slot.error is None and isinstance(slot.value, Mapping):
            before[slot.subject] = _ready(slot)
    return before


def _service(timeline: Timeline, origin: Origin, name: str, before: set[str]) -> Recovery:
    subject = f"service/{name}"
    if not before:
        return no_data(CLOCK, subject, "it had no ready endpoint before the fault")
    later = [
        slot
        for slot in timeline.observations(CLOCK, name)
        if slot.at >= origin.disrupted.low and slot.error is None and isinstance(slot.value, Mapping)
    ]
    hit = {uid: since for uid, since in victims(timeline).items() if uid in before}
    found = _outages(later, before, hit, origin, timeline.wall_origin)
    if not found and states_lost(timeline, CLOCK, origin.disrupted.low):
        return no_data(CLOCK, subject, "the watch on endpoints was interrupted, so a disruption may have been missed")
    if not found:
        return not_disrupted(CLOCK, subject, 0.0, f"{len(before)} endpoints stayed ready")
    if not found[-1].over and watch_open_ended(timeline, CLOCK):
        return no_data(CLOCK, subject, "the watch on endpoints was interrupted before they were back")
    return without_missed_relapse(conclude(CLOCK, subject, found, origin), timeline, CLOCK)


def _outages(
    slots: Sequence[Observation], before: set[str], hit: Mapping[str, float], origin: Origin, wall_origin: float
) -> list[Outage]:
    """Return the spans with too few ready endpoints.

    From its injection on, a victim does not count as ready until it has been removed once; a victim that is never
    removed was not disrupted as far as traffic is concerned, so it counts.
    """
    expected = {uid: since for uid, since in hit.items() if any(uid not in _ready(slot) for slot in slots)}
    awaited: set[str] = set()
    leavers = bool(expected)
    found: list[Outage] = []
    began: float | None = None
    changed = origin.disrupted.low
    for slot in slots:
        # Never back in time: a pod whose kubelet was unreachable may return with an older timestamp.
        triggered = slot.wall - wall_origin if slot.wall is not None else changed
        changed = min(max(triggered, changed), slot.at)
        ready = _ready(slot)
        due = {uid for uid, since in expected.items() if since <= slot.at}
        awaited |= due
        expected = {uid: since for uid, since in expected.items() if uid not in due}
        left = awaited - ready
        awaited -= left
        complete = len(ready - awaited) >= len(before)
        if began is None and (left or (not complete and (found or not leavers))):
            began = slot.at
        if began is not None and complete:
            found.append(Outage(Interval(since_last(found, origin, began), began), Interval(changed, slot.at), began))
            began = None
    if began is not None:
        found.append(Outage(Interval(since_last(found, origin, began), began), Interval(origin.until, math.inf), began))
    return found


def _ready(slot: Observation) -> set[str]:
    return set(slot.value.get("ready") or ())
