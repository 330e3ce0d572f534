"""The lock of scheduled runs: at most one runs on a cluster at a time, whatever its schedule.

A CronJob's ``concurrencyPolicy: Forbid`` covers only its own scheduled Jobs: not those of ``run-now``, and not those of
another schedule.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.cluster.kube.client import KubeApi
from harness.common.clock import Clock
from harness.common.errors import ClusterRefused
from harness.common.naming import COMPONENT_LABEL
from harness.safety.leases.lease import LEASE_SECONDS, LeaseKeeper, find_lease, release, take
from harness.safety.leases.liveness import LivenessWatch
from harness.safety.undo.cluster_copy import ensure_system_namespace
from harness.schedule.naming import SCHEDULE_LABEL

LOCK = "resilience-scheduled-run"
_LOOK_AGAIN = 1.0
# Seconds. A holder is known to be alive or dead after its Lease's duration.
_DECIDED = 4 * LEASE_SECONDS


@contextmanager
def scheduled_run(api: KubeApi, schedule: str, pod: str, clock: Clock) -> Iterator[LeaseKeeper]:
    """Hold the lock. Raises ClusterRefused if another scheduled run holds it, ApiError.

    The lock of a dead holder is taken over, after watching it for the Lease's duration.
    """
    holder = f"schedule {schedule} (pod {pod})"
    labels = {COMPONENT_LABEL: "schedule", SCHEDULE_LABEL: schedule}
    watch = LivenessWatch(clock)
    ensure_system_namespace(api)
    ends = clock.monotonic() + _DECIDED
    while True:
        seen = find_lease(api, LOCK)
        dead = seen is not None and seen.holder != holder and watch.is_dead(seen)
        if seen is None or dead:
            if take(api, LOCK, holder, labels, clock, over=seen):
                break
        elif seen.holder == holder:
            break
        elif dead is False:
            raise ClusterRefused(f"another scheduled run is active: {seen.holder}; nothing was run")
        if clock.monotonic() > ends:
            raise ClusterRefused(f"could not take the Lease {LOCK}: {seen.holder if seen else 'it was not created'}")
        clock.sleep(_LOOK_AGAIN)
    try:
        with LeaseKeeper(api, holder, clock) as keeper:
            keeper.add(LOCK)
            yield keeper
    finally:
        mine = find_lease(api, LOCK)
        if mine and mine.holder == holder:
            release(api, mine)
