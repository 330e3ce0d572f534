"""A run's claim on a cluster: its own Lease, and for a disruptive run the one Lease that keeps all others out.

Experiments that stay in namespaces of their own share a cluster. A run with experiments that hit more than that
(nodes, an existing namespace) must have it to itself: it takes the lock first and looks for other runs then, while any
other run makes its own Lease first and looks for the lock then. So at least one of two sees the other and refuses, or
waits when it was told to. All processes of one run (pytest-xdist) share its Leases, and each renews them: a run is
alive while any of its processes is.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.clock import Clock
from harness.cluster.api import KubeApi
from harness.cluster.resources import LEASES
from harness.errors import ClusterRefused
from harness.lease import LeaseKeeper, Seen, find_lease, identity, release, take
from harness.naming import COMPONENT_LABEL, MANAGED_BY, RUN_LABEL, SYSTEM_NAMESPACE
from harness.undo_copy import ensure_system_namespace
from harness.vigil import Vigil

LOCK = "resilience-exclusive"
RUN_COMPONENT, LOCK_COMPONENT = "run", "lock"
LOOK_AGAIN = 1.0


def lease_name(run: str) -> str:
    """The name of a run's own Lease."""
    return f"resilience-{run}"


class Claim:
    """What one process of a run holds of it. ``take`` before anything is touched, ``close`` at the end."""

    def __init__(self, api: KubeApi, run: str, clock: Clock, progress: Callable[[str], None]) -> None:
        self._api, self._run, self._clock, self._progress = api, run, clock, progress
        self._vigil = Vigil(clock)
        self._keeper: LeaseKeeper | None = None
        self._holder = identity(run)

    def lost(self) -> str | None:
        """Why this run must break nothing more, or None."""
        return self._keeper.lost() if self._keeper else None

    def take(self, *, exclusive: bool = False, wait: float = 0.0) -> None:
        """Claim the cluster, waiting ``wait`` seconds at most for others to leave. Raises ClusterRefused, ApiError."""
        ensure_system_namespace(self._api)
        of_this_run = find_lease(self._api, lease_name(self._run))
        # The first process of a run gives all of its Leases their holder.
        self._holder = of_this_run.holder if of_this_run else self._holder
        deadline = self._clock.monotonic() + wait
        told = ""
        while True:
            found = self._exclusively() if exclusive else self._beside_others()
            if found is None:
                return
            blocker, sure = found
            if sure and self._clock.monotonic() >= deadline:
                self.close(last=True)
                raise ClusterRefused(f"{blocker}; --wait-for-lock=SECONDS waits until it is done")
            if sure and blocker != told:
                self._progress(f"waiting: {blocker}")
                told = blocker
            self._clock.sleep(LOOK_AGAIN)

    def close(self, *, last: bool) -> None:
        """Renew no more; with ``last`` nobody else of this run does, and its Leases go. Raises ApiError."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.stop()
        if last:
            for name in (lease_name(self._run), LOCK):
                seen = find_lease(self._api, name)
                if seen and seen.holder == keeper.holder:
                    release(self._api, seen)

    def _beside_others(self) -> tuple[str, bool] | None:
        self._hold(lease_name(self._run), RUN_COMPONENT)
        lock = find_lease(self._api, LOCK)
        if lock is None or lock.labels.get(RUN_LABEL) == self._run:
            return None
        dead = self._vigil.is_dead(lock)
        if dead:
            self.close(last=True)
            raise ClusterRefused(
                f"{lock.holder} had this cluster for itself and has died: what it broke may still be broken; "
                "`harness sweep` takes it back"
            )
        if dead is False:
            # The one that holds the lock waits for this Lease to go, too.
            self.close(last=True)
        return f"{lock.holder} has this cluster for itself", dead is False

    def _exclusively(self) -> tuple[str, bool] | None:
        if not self._hold(LOCK, LOCK_COMPONENT):
            lock = find_lease(self._api, LOCK)
            dead = self._vigil.is_dead(lock) if lock else None
            if lock and dead:
                raise ClusterRefused(
                    f"{lock.holder} had this cluster for itself and has died: what it broke may still be broken; "
                    "`harness sweep` takes it back"
                )
            return f"{lock.holder if lock else 'another run'} has this cluster for itself", dead is False
        self._hold(lease_name(self._run), RUN_COMPONENT)
        others = [(seen, self._vigil.is_dead(seen)) for seen in self._other_runs()]
        living = [(seen, dead) for seen, dead in others if not dead]
        if not living:
            return None
        who = ", ".join(seen.holder for seen, _ in living)
        return (
            f"this run hits more than its own namespaces and must have the cluster to itself, and {who} is at work",
            any(dead is False for _, dead in living),
        )

    def _other_runs(self) -> list[Seen]:
        selector = ",".join(f"{key}={value}" for key, value in {**MANAGED_BY, COMPONENT_LABEL: RUN_COMPONENT}.items())
        found = map(Seen.of, self._api.list(LEASES, SYSTEM_NAMESPACE, selector).items)
        return [seen for seen in found if seen.labels.get(RUN_LABEL) != self._run]

    def _hold(self, name: str, component: str) -> bool:
        """Hold a Lease, as its maker or beside another process of this run; False when it is another run's."""
        if self._keeper and self._keeper.keeps(name):
            return True
        labels = {RUN_LABEL: self._run, COMPONENT_LABEL: component}
        if find_lease(self._api, name) is None:
            take(self._api, name, self._holder, labels, self._clock)
        found = find_lease(self._api, name)
        if found is None or found.holder != self._holder:
            return False
        self._keep(name)
        return True

    def _keep(self, name: str) -> None:
        if self._keeper is None:
            self._keeper = LeaseKeeper(self._api, self._holder, self._clock)
            self._keeper.add(name)
            self._keeper.start()
        else:
            self._keeper.add(name)
