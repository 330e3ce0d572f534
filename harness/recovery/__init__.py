"""Recovery as an interval, seen on four clocks. Pure functions from a timeline; nothing here measures or waits.

Each clock turns its series into outages, and one rule (:mod:`harness.recovery.outage`) makes a recovery of them, so
that the four can be compared:

* **control plane**: pods of the workload, correlated by UID and owner;
* **endpoints**: ready addresses of every Service in front of it;
* **user**: probes of the prober, or requests of the load where there is none: the truth that counts;
* **prometheus**: scrape targets that are up.

A clock must have *seen the disruption* before it may *see the recovery*. Lengths count from the disrupting call, or,
for a disruption that the harness itself takes back (a bad rollout), from the undo.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.observation import Timeline
from harness.recovery.control_plane import control_plane
from harness.recovery.endpoints import endpoints
from harness.recovery.outage import CLOCKS, ClockName, Origin, Outage, Recovery, Since, origin_of, watched_until
from harness.recovery.prometheus import prometheus
from harness.recovery.user import GOOD_IN_A_ROW, in_a_row, outages, user

__all__ = [
    "CLOCKS",
    "GOOD_IN_A_ROW",
    "ClockName",
    "Origin",
    "Outage",
    "Recovery",
    "Since",
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
    """The recovery of a workload (``deployment/podinfo``) on each clock, in the order of CLOCKS.

    ``services`` narrows the endpoints clock to these Services; by default it watches every Service that had a pod of
    the workload among its ready addresses before the fault, and gives one recovery for each.
    """
    origin = origin_of(timeline, since)
    if isinstance(origin, str):
        return [Recovery(clock, workload, "no data", None, None, None, origin) for clock in CLOCKS if clock in clocks]
    found: list[Recovery] = []
    if "control plane" in clocks:
        found.append(control_plane(timeline, workload, origin))
    if "endpoints" in clocks:
        found += endpoints(timeline, workload, origin, services)
    if "user" in clocks:
        found += user(timeline, workload, origin)
    if "prometheus" in clocks:
        found.append(prometheus(timeline, workload, origin, scrape_interval))
    return found


def recovered(
    timeline: Timeline,
    workload: str,
    *,
    since: Since = "injected",
    services: Sequence[str] | None = None,
    clocks: Sequence[ClockName] = ("control plane", "endpoints", "user"),
) -> tuple[bool, str]:
    """Whether every clock that has seen the disruption has seen the recovery too, and a sentence for people.

    Made to be asked while the run goes on. False as long as no clock has seen a disruption: not to have seen it is no
    recovery. Prometheus is left out by default, since its samples are read when the run is over.
    """
    seen = recoveries(timeline, workload, since=since, services=services, clocks=clocks)
    waiting = [clock for clock in seen if clock.state == "not recovered"]
    if waiting:
        return False, "; ".join(f"{clock.clock}: {clock.reason}" for clock in waiting)
    done = [clock for clock in seen if clock.state == "recovered"]
    if not done:
        return False, "; ".join(f"{clock.clock}: {clock.reason}" for clock in seen)
    return True, "; ".join(f"{clock.clock}: {clock.reason}" for clock in done)
