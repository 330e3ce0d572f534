"""Leases: what tells a live run from a dead one, and one run from another on the same target.

A holder renews its Lease (coordination.k8s.io/v1) every few seconds. Others take it for dead when they have seen the
renewal time stand still for the Lease's duration *on their own clock*: clocks of two machines are never compared. The
holder counts itself out when it could not renew for that long, or when somebody else stands in the Lease: both judge
by the same duration, and the holder's began earlier. Whoever takes a Lease over does so by its resourceVersion, so
that a holder that was only asleep finds out, and of two that want it one gets it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from harness.clock import Clock, parse_kubernetes_time
from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import allow
from harness.cluster.resources import LEASES
from harness.errors import ApiError
from harness.naming import MANAGED_BY, SYSTEM_NAMESPACE

PERMISSIONS = allow(LEASES, "get", "list", "create", "update", "patch", "delete", place="system")
LEASE_SECONDS = 15.0
RENEW_EVERY = 3.0
# No clock is wrong by this much without anybody noticing: a Lease that old need not be watched for a while first.
VERY_OLD = 86_400.0
STOP_WITHIN = 5.0


def identity(run: str) -> str:
    """Who holds a Lease: ``<run> on <host> (pid <pid>)``."""
    return f"{run} on {socket.gethostname()} (pid {os.getpid()})"


@dataclass(frozen=True, slots=True)
class Seen:
    """A Lease as it was seen once. ``renewed`` is opaque: only whether it changes means anything."""

    name: str
    uid: str
    version: str
    holder: str
    renewed: str
    seconds: float
    labels: Mapping[str, str]

    @classmethod
    def of(cls, item: Object) -> Seen:
        metadata, spec = item["metadata"], item.get("spec") or {}
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata.get("resourceVersion", ""),
            holder=spec.get("holderIdentity") or "",
            renewed=spec.get("renewTime") or "",
            seconds=float(spec.get("leaseDurationSeconds") or LEASE_SECONDS),
            labels=metadata.get("labels") or {},
        )

    def very_old(self, clock: Clock) -> bool:
        """Whether its last renewal is so long ago that no difference of clocks explains it."""
        try:
            return clock.wall() - parse_kubernetes_time(self.renewed) > VERY_OLD
        except ValueError:
            return not self.renewed


def find_lease(api: KubeApi, name: str) -> Seen | None:
    """A Lease of the harness's own namespace."""
    found = api.find(LEASES, name, SYSTEM_NAMESPACE)
    return Seen.of(found) if found else None


def take(
    api: KubeApi, name: str, holder: str, labels: Mapping[str, str], clock: Clock, *, over: Seen | None = None
) -> bool:
    """Create a Lease, or take over the one seen; False when somebody else was faster."""
    now = _micro_time(clock.wall())
    metadata: Object = {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": {**MANAGED_BY, **labels}}
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": int(LEASE_SECONDS),
        "acquireTime": now,
        "renewTime": now,
    }
    body = {"apiVersion": LEASES.group_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
    try:
        if over is None:
            api.create(LEASES, body, SYSTEM_NAMESPACE)
        else:
            metadata |= {"uid": over.uid, "resourceVersion": over.version}
            api.replace(LEASES, body, SYSTEM_NAMESPACE)
    except ApiError as error:
        if error.status not in {404, 409}:
            raise
        # The first of two tries may have got through.
        found = find_lease(api, name)
        return found is not None and found.holder == holder
    return True


def release(api: KubeApi, lease: Seen) -> None:
    """Delete a Lease if it is still this one. Raises ApiError."""
    try:
        api.delete(LEASES, lease.name, SYSTEM_NAMESPACE, uid=lease.uid)
    except ApiError as error:
        if error.status not in {404, 409}:
            raise


class LeaseKeeper:
    """Renews Leases held by ``holder`` from a thread of its own, until stopped."""

    def __init__(self, api: KubeApi, holder: str, clock: Clock) -> None:
        self.holder = holder
        self._api = api.clone()
        self._clock = clock
        self._names: list[str] = []
        self._contact: dict[str, float] = {}
        self._taken = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renew-lease", daemon=True)

    def add(self, name: str) -> None:
        """Keep this Lease, which is held already, renewed as well."""
        self._contact[name] = self._clock.monotonic()
        self._names.append(name)

    def keeps(self, name: str) -> bool:
        """Whether it is among those that are renewed."""
        return name in self._names

    def start(self) -> None:
        """Begin to renew; returns at once."""
        self._thread.start()

    def lost(self) -> str | None:
        """Why the Leases do not count as held any more, or None while they do."""
        if self._taken:
            return self._taken
        now = self._clock.monotonic()
        for name in [*self._names]:
            silent = now - self._contact[name]
            if silent > LEASE_SECONDS:
                return (
                    f"the Lease {name} could not be renewed for {silent:.1f} s: others take this run for dead, "
                    "so it breaks nothing more"
                )
        return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Renew no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN)
        self._api.close()

    def _run(self) -> None:
        while not self._clock.wait(self._stop, RENEW_EVERY):
            for name in [*self._names]:
                self.renew(name)

    def renew(self, name: str) -> None:
        """Renew once; what is in the way is told by ``lost``."""
        begun = self._clock.monotonic()
        patch: list[Object] = [
            {"op": "test", "path": "/spec/holderIdentity", "value": self.holder},
            {"op": "replace", "path": "/spec/renewTime", "value": _micro_time(self._clock.wall())},
        ]
        try:
            self._api.patch(LEASES, name, patch, SYSTEM_NAMESPACE, strategy="json")
        except ApiError as error:
            if error.status in {404, 409, 422}:
                self._look(name)
        else:
            self._contact[name] = begun

    def _look(self, name: str) -> None:
        try:
            found = find_lease(self._api, name)
        except ApiError:
            return
        if not self._stop.is_set() and (found is None or found.holder != self.holder):
            who = f"was taken over by {found.holder}" if found else "is gone"
            self._taken = f"the Lease {name} of this run {who}: what it did is being taken back, so it breaks no more"


def _micro_time(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
