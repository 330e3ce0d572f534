"""The endpoints' clock: a Service has as many ready addresses as before, the victims' old ones not among them.

The instant is the watch's arrival. What the EndpointSlice says triggered this or an earlier change gives the
low bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from harness.observation import Interval, Observation, Timeline
from harness.recovery.control_plane import as_far_as_seen
from harness.recovery.gaps import states_lost, watch_open_ended
from harness.recovery.outage import Origin, Outage, Recovery, conclude, no_data, not_disrupted, since_last
from harness.recovery.pods import pods_of, victims

CLOCK: Final = "endpoints"


def endpoints(timeline: Timeline, workload: str, origin: Origin, services: Sequence[str] | None) -> list[Recovery]:
    """One recovery for every Service (named ``service/<name>``) in front of the workload, or for those asked for."""
    before = _before(timeline, origin)
    chosen = services_of(timeline, workload, origin) if services is None else services
    if not chosen:
        return [no_data(CLOCK, workload, "no Service had a ready endpoint of it before the fault")]
    return [_service(timeline, origin, name, before.get(name, set())) for name in chosen]


def services_of(timeline: Timeline, workload: str, origin: Origin) -> list[str]:
    """The Services that had a pod of the workload among their ready addresses before the fault, sorted."""
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
    found = _outages(later, before, victims(timeline) & before, origin, timeline.wall_origin)
    if not found and states_lost(timeline, CLOCK, origin.disrupted.low):
        return no_data(CLOCK, subject, "the watch on endpoints broke, so a disruption may have gone unseen")
    if not found:
        return not_disrupted(CLOCK, subject, 0.0, f"{len(before)} endpoints stayed ready")
    if not found[-1].over and watch_open_ended(timeline, CLOCK):
        return no_data(CLOCK, subject, "the watch on endpoints broke before they were back")
    return as_far_as_seen(conclude(CLOCK, subject, found, origin), timeline, CLOCK)


def _outages(
    slots: Sequence[Observation], before: set[str], hit: set[str], origin: Origin, wall_origin: float
) -> list[Outage]:
    """The spans with too few endpoints. A victim counts for nothing until it has been seen to leave; one that never
    leaves was not disrupted as far as traffic goes, and is not waited for."""
    awaited = {uid for uid in hit if any(uid not in _ready(slot) for slot in slots)}
    leavers = bool(awaited)
    found: list[Outage] = []
    began: float | None = None
    changed = origin.disrupted.low
    for slot in slots:
        # Never back in time: a pod whose kubelet was away comes back with a timestamp from before it went.
        told = slot.wall - wall_origin if slot.wall is not None else changed
        changed = min(max(told, changed), slot.at)
        ready = _ready(slot)
        left = awaited - ready
        awaited -= left
        whole = len(ready - awaited) >= len(before)
        if began is None and (left or (not whole and (found or not leavers))):
            began = slot.at
        if began is not None and whole:
            found.append(Outage(Interval(since_last(found, origin), began), Interval(changed, slot.at), began))
            began = None
    if began is not None:
        found.append(Outage(Interval(since_last(found, origin), began), Interval(origin.until, math.inf), began))
    return found


def _ready(slot: Observation) -> set[str]:
    return set(slot.value.get("ready") or ())
