"""A run's claim on a cluster: its own Lease, and for a disruptive run also the exclusive lock.

Runs whose experiments stay in their own namespaces share a cluster. A run with experiments that affect more than that
(nodes, an existing namespace) needs exclusive use: it takes the lock first and then looks for other runs, while any
other run creates its own Lease first and then looks for the lock. So of two runs at least one sees the other, and is
refused, or waits if ``--wait-for-lock`` allows it. All processes of one run (pytest-xdist) share its Leases, and each
renews them: a run is alive while any of its processes is. So a process that is refused stops its own renewal, and
deletes a Lease only if it created that Lease itself, since the run's other processes may use any other one. The
processes of a run must take their claims one after the other (``harness.pytest_plugin.session`` holds a file lock):
a process must not join a Lease whose creator may still be refused.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import LEASES
from harness.common.clock import Clock
from harness.common.errors import ApiError, ClusterRefused
from harness.common.naming import COMPONENT_LABEL, MANAGED_BY, RUN_LABEL, SYSTEM_NAMESPACE
from harness.safety.leases.lease import LeaseKeeper, LeaseSnapshot, find_lease, identity, release, take
from harness.safety.leases.liveness import LivenessWatch
from harness.safety.undo.cluster_copy import ensure_system_namespace

LOCK = "resilience-exclusive"
RUN_COMPONENT, LOCK_COMPONENT = "run", "lock"
LOOK_AGAIN = 1.0


def lease_name(run: str) -> str:
    """Return the name of a run's own Lease."""
    return f"resilience-{run}"


@dataclass(frozen=True, slots=True)
class Granted:
    """The cluster is claimed: the run's Leases are held and renewed."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another run has the cluster. ``sure``: its Lease was seen being renewed; otherwise it may be dead."""

    reason: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The claim is refused, and waiting longer would not help."""

    reason: str


Answer = Granted | Waiting | Refused


class Claim:
    """One process's part in its run's claim. Call ``take`` before touching the cluster, and ``close`` at the end."""

    def __init__(
        self, api: KubeApi, run: str, clock: Clock, progress: Callable[[str], None], sweep: str = "harness sweep"
    ) -> None:
        """``sweep`` is the command that undoes what dead runs left in this cluster, for messages."""
        self._sweep = sweep
        self._api, self._run, self._clock, self._progress = api, run, clock, progress
        self._vigil = LivenessWatch(clock)
        self._keeper: LeaseKeeper | None = None
        self._holder = identity(run)
        # The Leases that this process itself created in ``take``: name to UID.
        self._created: dict[str, str] = {}
        self._held_any = False

    def lost(self) -> str | None:
        """Return why this run must not inject faults any more, or None."""
        return self._keeper.lost() if self._keeper else None

    def take(self, *, exclusive: bool = False, wait: float = 0.0) -> None:
        """Claim the cluster, waiting up to ``wait`` seconds for other runs to end.

        Raises ClusterRefused or ApiError. This process then renews nothing; Leases that other processes of the run
        hold remain.
        """
        ensure_system_namespace(self._api)
        of_this_run = find_lease(self._api, lease_name(self._run))
        # The first process of a run gives all of its Leases their holder.
        self._holder = of_this_run.holder if of_this_run else self._holder
        try:
            self._take(exclusive=exclusive, deadline=self._clock.monotonic() + wait)
        except BaseException:
            # Keep the original error. `harness sweep` removes a Lease that could not be deleted here.
            with suppress(ApiError):
                self._withdraw()
            raise

    def close(self, *, last: bool) -> None:
        """Stop renewing; with ``last``, delete the run's Leases, since no other process uses them. Raises ApiError."""
        self._stop()
        # The last process may be one whose own claim was refused: it still deletes the Leases that it once held.
        if last and self._held_any:
            self._held_any = False
            for name in (lease_name(self._run), LOCK):
                seen = find_lease(self._api, name)
                if seen and seen.holder == self._holder:
                    release(self._api, seen)

    def others_at_work(self) -> list[str]:
        """Return the holders of other runs' live Leases. Watches for up to a Lease's duration. Raises ApiError."""
        while True:
            seen = [(lease.holder, self._vigil.is_dead(lease)) for lease in self._other_runs()]
            alive = [holder for holder, dead in seen if dead is False]
            if alive or all(dead for _, dead in seen):
                return alive
            self._clock.sleep(LOOK_AGAIN)

    def _take(self, *, exclusive: bool, deadline: float) -> None:
        announced = ""
        while not isinstance(answer := self._exclusively() if exclusive else self._beside_others(), Granted):
            if isinstance(answer, Refused):
                raise ClusterRefused(answer.reason)
            # Until it is sure, the other run may be dead, which takes up to a Lease's duration to find out.
            if answer.sure and self._clock.monotonic() >= deadline:
                raise ClusterRefused(f"{answer.reason}; use --wait-for-lock=SECONDS to wait until it has ended")
            if answer.sure and answer.reason != announced:
                self._progress(f"waiting: {answer.reason}")
                announced = answer.reason
            self._clock.sleep(LOOK_AGAIN)

    def _stop(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper:
            keeper.stop()

    def _withdraw(self) -> None:
        """Stop renewing, and delete what this process created. Raises ApiError."""
        self._stop()
        created, self._created = self._created, {}
        for name, uid in created.items():
            seen = find_lease(self._api, name)
            if seen and seen.uid == uid and seen.holder == self._holder:
                release(self._api, seen)

    def _beside_others(self) -> Answer:
        if not self._hold(lease_name(self._run), RUN_COMPONENT):
            return self._held_by_another()
        lock = find_lease(self._api, LOCK)
        if lock is None or lock.labels.get(RUN_LABEL) == self._run:
            return Granted()
        dead = self._vigil.is_dead(lock)
        if dead:
            return Refused(self._died(lock))
        if dead is False:
            # The holder of the lock may itself wait until this Lease is gone. A Lease that other processes of this run
            # use is not deleted: that would let the holder begin in the middle of their experiments.
            self._withdraw()
        return Waiting(f"{lock.holder} has exclusive use of this cluster", sure=dead is False)

    def _exclusively(self) -> Answer:
        if not self._hold(LOCK, LOCK_COMPONENT):
            lock = find_lease(self._api, LOCK)
            dead = self._vigil.is_dead(lock) if lock else None
            if lock and dead:
                return Refused(self._died(lock))
            holder = lock.holder if lock else "another run"
            return Waiting(f"{holder} has exclusive use of this cluster", sure=dead is False)
        if not self._hold(lease_name(self._run), RUN_COMPONENT):
            return self._held_by_another()
        others = [(seen, self._vigil.is_dead(seen)) for seen in self._other_runs()]
        living = [(seen, dead) for seen, dead in others if not dead]
        if not living:
            return Granted()
        who = ", ".join(seen.holder for seen, _ in living)
        return Waiting(
            f"this run affects more than its own namespaces and needs exclusive use of the cluster, used by {who}",
            sure=any(dead is False for _, dead in living),
        )

    def _died(self, lock: LeaseSnapshot) -> str:
        return (
            f"{lock.holder} had exclusive use of this cluster and died: its effects may remain; "
            f"run `{self._sweep}` to undo them"
        )

    def _held_by_another(self) -> Refused:
        found = find_lease(self._api, lease_name(self._run))
        return Refused(
            f"the Lease {lease_name(self._run)} of this run "
            f"{f'is held by {found.holder}' if found else 'does not exist any more'}"
        )

    def _other_runs(self) -> list[LeaseSnapshot]:
        selector = ",".join(f"{key}={value}" for key, value in {**MANAGED_BY, COMPONENT_LABEL: RUN_COMPONENT}.items())
        found = map(LeaseSnapshot.of, self._api.list(LEASES, SYSTEM_NAMESPACE, selector).items)
        return [seen for seen in found if seen.labels.get(RUN_LABEL) != self._run]

    def _hold(self, name: str, component: str) -> bool:
        """Create a Lease or join this run's other processes in holding it. Return False if another run holds it."""
        if self._keeper and self._keeper.keeps(name):
            return True
        labels = {RUN_LABEL: self._run, COMPONENT_LABEL: component}
        missing = find_lease(self._api, name) is None
        made = missing and take(self._api, name, self._holder, labels, self._clock)
        found = find_lease(self._api, name)
        if found is None or found.holder != self._holder:
            return False
        if made:
            self._created[name] = found.uid
        self._keep(name)
        self._held_any = True
        return True

    def _keep(self, name: str) -> None:
        if self._keeper is None:
            self._keeper = LeaseKeeper(self._api, self._holder, self._clock)
            self._keeper.add(name)
            self._keeper.start()
        else:
            self._keeper.add(name)
