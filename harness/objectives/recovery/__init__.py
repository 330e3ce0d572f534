"""The recovery time of a workload, measured by four clocks: pure functions of a timeline that neither measure nor wait.

Each clock derives outages from its series, and one rule (:mod:`harness.objectives.recovery.outage`) derives a recovery
from them, so that the four are comparable:

* **control plane**: the ready pods of the workload, correlated by UID and owner;
* **endpoints**: the ready addresses of every Service of the workload;
* **user**: probes of the prober, or requests of the load without a prober; this is what users experience;
* **prometheus**: the scrape targets that are up.

A clock must have seen the disruption before it can see the recovery. The recovery time counts from the disrupting call,
or, if the harness itself undoes the disruption (a bad rollout), from the undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.model.timeline import Timeline
from harness.objectives.recovery.control_plane import control_plane
from harness.objectives.recovery.endpoints import endpoints
from harness.objectives.recovery.outage import (
    CLOCKS,
    ClockName,
    Origin,
    Outage,
    Recovery,
    Since,
    no_data,
    origin_of,
    watched_until,
)
from harness.objectives.recovery.prometheus import prometheus
from harness.objectives.recovery.user import GOOD_IN_A_ROW, disagreement, in_a_row, outages, user

__all__ = [
    "CLOCKS",
    "GOOD_IN_A_ROW",
    "ClockName",
    "Origin",
    "Outage",
    "Recovery",
    "Since",
    "disagreement",
    "in_a_row",
    "origin_of",
    "outages",
    "recovered",
    "recoveries",
    "watched_until",
]


def recoveries(
    timeline: Timeline,
    workload: str,
    *,
    since: Since = "injected",
    services: Sequence[str] | None = None,
    clocks: Sequence[ClockName] = CLOCKS,
    scrape_interval: float | None = None,
) -> list[Recovery]:
    """Return the recovery of a workload (``deployment/podinfo``) on each clock, in the order of CLOCKS.

    The endpoints clock has one recovery for each of ``services``; by default for every Service that had a pod of the
    workload among its ready addresses before the fault. ``scrape_interval`` is in seconds.
    """
    origin = origin_of(timeline, since)
    if isinstance(origin, str):
        return [replace(no_data(clock, workload, origin), since=since) for clock in CLOCKS if clock in clocks]
    found: list[Recovery] = []
    if "control plane" in clocks:
        found.append(control_plane(timeline, workload, origin))
    if "endpoints" in clocks:
        found += endpoints(timeline, workload, origin, services)
    if "user" in clocks:
        found += user(timeline, workload, origin)
    if "prometheus" in clocks:
        found.append(prometheus(timeline, workload, origin, scrape_interval))
    return [replace(clock, since=since) for clock in found]


def recovered(
    timeline: Timeline,
    workload: str,
    *,
    since: Since = "injected",
    services: Sequence[str] | None = None,
    clocks: Sequence[ClockName] = ("control plane", "endpoints", "user"),
) -> tuple[bool, str]:
    """Return whether every clock that saw the disruption has seen the recovery too, and a description.

    For use during the run. False while no clock has seen a disruption, since that is not a recovery. The prometheus
    clock is not used by default, because its samples are read after the run.
    """
    seen = recoveries(timeline, workload, since=since, services=services, clocks=clocks)
    waiting = [clock for clock in seen if clock.state == "not recovered"]
    if waiting:
        return False, "; ".join(f"{clock.clock}: {clock.reason}" for clock in waiting)
    done = [clock for clock in seen if clock.state == "recovered"]
    if not done:
        return False, "; ".join(f"{clock.clock}: {clock.reason}" for clock in seen)
    return True, "; ".join(f"{clock.clock}: {clock.reason}" for clock in done)
