"""Exclusive use of an existing namespace: a Lease in the harness's own namespace, held for one experiment.

Unlike the namespaces that experiments create, an existing one may be the target of several runs. Two of them at once
would each measure the other's faults. The Lease is renewed in the background. If its holder dies, the Lease stays until
``harness sweep`` has undone the holder's effects, since they are in the same namespace.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.cluster.kube.client import KubeApi
from harness.common.clock import Clock
from harness.common.errors import ClusterRefused
from harness.common.naming import COMPONENT_LABEL, RUN_LABEL
from harness.safety.leases.lease import LeaseKeeper, LeaseSnapshot, find_lease, identity, release, take
from harness.safety.leases.liveness import LivenessWatch
from harness.safety.undo.cluster_copy import ensure_system_namespace

COMPONENT = "namespace"
LOOK_AGAIN = 1.0


def lock_name(namespace: str) -> str:
    """Return the name of the Lease for a namespace."""
    return f"resilience-namespace-{namespace}"


class NamespaceLock:
    """The lock of one experiment of a run. ``progress`` receives one line if it has to wait."""

    def __init__(self, api: KubeApi, run: str, namespace: str, clock: Clock, progress: Callable[[str], None]) -> None:
        self._api, self._run, self._clock, self._progress = api, run, clock, progress
        self._namespace, self._name = namespace, lock_name(namespace)
        self._holder = identity(run)
        self._keeper: LeaseKeeper | None = None

    def take(self, wait: float, go_on: Callable[[], None]) -> None:
        """Take the lock, waiting up to ``wait`` seconds for another run, and for this run's other processes until done.

        ``go_on`` is called before each attempt and may raise. Raises ClusterRefused, ApiError.
        """
        ensure_system_namespace(self._api)
        vigil, deadline, announced = LivenessWatch(self._clock), self._clock.monotonic() + wait, False
        while not self._taken():
            go_on()
            seen = find_lease(self._api, self._name)
            dead = vigil.is_dead(seen) if seen else None
            if seen and dead is not None:
                self._check(seen, dead=dead, late=self._clock.monotonic() >= deadline)
                if not announced:
                    self._progress(f"waiting: {seen.holder} uses namespace {self._namespace}")
                    announced = True
            if seen:
                self._clock.sleep(LOOK_AGAIN)
        self._keeper = LeaseKeeper(self._api, self._holder, self._clock)
        self._keeper.add(self._name)
        self._keeper.start()

    def lost(self) -> str | None:
        """Return why the lock counts as lost, or None while it is held."""
        return self._keeper.lost() if self._keeper else None

    def close(self, *, keep: bool = False) -> None:
        """Stop renewing and delete the Lease. ``keep``: leave it for a sweep, since effects remain. Raises ApiError."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.stop()
        seen = None if keep else find_lease(self._api, self._name)
        if seen and seen.holder == self._holder:
            release(self._api, seen)

    def _taken(self) -> bool:
        if find_lease(self._api, self._name) is not None:
            return False
        labels = {RUN_LABEL: self._run, COMPONENT_LABEL: COMPONENT}
        return take(self._api, self._name, self._holder, labels, self._clock)

    def _check(self, seen: LeaseSnapshot, *, dead: bool, late: bool) -> None:
        """Raise ClusterRefused if waiting for the holder of the lock would not help, or took too long."""
        if dead:
            raise ClusterRefused(
                f"{seen.holder} used namespace {self._namespace} and died: its effects may remain; run `harness sweep` "
                "on this cluster to undo them"
            )
        if late and seen.labels.get(RUN_LABEL) != self._run:
            raise ClusterRefused(
                f"{seen.holder} uses namespace {self._namespace}; use --wait-for-lock=SECONDS to wait for its end"
            )
