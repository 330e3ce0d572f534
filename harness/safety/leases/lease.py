"""Leases: distinguish live runs from dead ones, and keep runs on the same cluster apart.

A holder renews its Lease (coordination.k8s.io/v1) every few seconds. Other processes treat it as dead once the renewal
time has not changed for the Lease's duration *on their own clock*: clocks of two machines are never compared. The
holder treats its Lease as lost if it could not renew it for that duration, or if the Lease names another holder. Both
sides use the same duration, and the holder's period began earlier. A Lease is taken over with its resourceVersion, so
that of two candidates only one succeeds, and a holder that was only suspended notices.
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

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import LEASES
from harness.common.clock import Clock, parse_kubernetes_time
from harness.common.errors import ApiError
from harness.common.naming import MANAGED_BY, SYSTEM_NAMESPACE

PERMISSIONS = allow(LEASES, "get", "list", "create", "update", "patch", "delete", place="system")
# Seconds. Four renewals in a row may fail before other runs treat the holder as dead.
LEASE_SECONDS = 15.0
RENEW_EVERY = 3.0
# Seconds. No clock skew explains a difference this large, so a Lease that old is dead without watching it first.
VERY_OLD = 86_400.0
STOP_WITHIN = 5.0


def identity(run: str) -> str:
    """Return the holder identity of this process: ``<run> on <host> (pid <pid>)``."""
    return f"{run} on {socket.gethostname()} (pid {os.getpid()})"


@dataclass(frozen=True, slots=True)
class LeaseSnapshot:
    """A Lease as read at one time. ``renewed`` is only compared for changes, except in ``very_old``."""

    name: str
    uid: str
    version: str
    holder: str
    renewed: str
    seconds: float
    labels: Mapping[str, str]

    @classmethod
    def of(cls, item: Object) -> LeaseSnapshot:
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
        """Return whether the last renewal is older than any difference between two clocks could explain."""
        try:
            return clock.wall() - parse_kubernetes_time(self.renewed) > VERY_OLD
        # A Lease that was never renewed counts as very old; a time that cannot be parsed shows nothing.
        except ValueError:
            return not self.renewed


def find_lease(api: KubeApi, name: str) -> LeaseSnapshot | None:
    """Return a Lease of the harness's own namespace, or None. Raises ApiError."""
    found = api.find(LEASES, name, SYSTEM_NAMESPACE)
    return LeaseSnapshot.of(found) if found else None


def take(
    api: KubeApi, name: str, holder: str, labels: Mapping[str, str], clock: Clock, *, over: LeaseSnapshot | None = None
) -> bool:
    """Create a Lease, or take over the snapshot ``over``. Return False if another process was faster."""
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
        # A first attempt whose response was lost may have succeeded.
        found = find_lease(api, name)
        return found is not None and found.holder == holder
    return True


def release(api: KubeApi, lease: LeaseSnapshot) -> None:
    """Delete a Lease if it is still the same object. Raises ApiError."""
    try:
        api.delete(LEASES, lease.name, SYSTEM_NAMESPACE, uid=lease.uid)
    except ApiError as error:
        if error.status not in {404, 409}:
            raise


class LeaseKeeper:
    """Renews Leases held by ``holder`` in a background thread until stopped."""

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
        """Renew this Lease as well, which is already held."""
        # Before the name is added, since the thread and `lost` read both.
        self._contact[name] = self._clock.monotonic()
        self._names.append(name)

    def keeps(self, name: str) -> bool:
        """Return whether this Lease is being renewed."""
        return name in self._names

    def start(self) -> None:
        """Start renewing; returns at once."""
        self._thread.start()

    def lost(self) -> str | None:
        """Return why the Leases count as lost, or None while they are held."""
        if self._taken:
            return self._taken
        now = self._clock.monotonic()
        for name in [*self._names]:
            silent = now - self._contact[name]
            if silent > LEASE_SECONDS:
                return (
                    f"Lease {name} was not renewed for {silent:.1f} s: other runs may treat this run as dead, "
                    "so no more faults will be injected"
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
        """Stop renewing. Waits at most ``STOP_WITHIN`` seconds for the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN)
        self._api.close()

    def _run(self) -> None:
        while not self._clock.wait(self._stop, RENEW_EVERY):
            for name in [*self._names]:
                self.renew(name)

    def renew(self, name: str) -> None:
        """Renew a Lease once. Does not raise ApiError: ``lost`` reports a failure that lasts."""
        begun = self._clock.monotonic()
        patch: list[Object] = [
            {"op": "test", "path": "/spec/holderIdentity", "value": self.holder},
            {"op": "replace", "path": "/spec/renewTime", "value": _micro_time(self._clock.wall())},
        ]
        try:
            self._api.patch(LEASES, name, patch, SYSTEM_NAMESPACE, strategy="json")
        except ApiError as error:
            # 404: the Lease is gone; 409 and 422: it has changed, or names another holder.
            if error.status in {404, 409, 422}:
                self._look(name)
        else:
            # The time before the request, since the server may have stored the renewal at any time after it.
            self._contact[name] = begun

    def _look(self, name: str) -> None:
        try:
            found = find_lease(self._api, name)
        except ApiError:
            return
        # After `stop` the Lease may have been deleted by this run itself.
        if not self._stop.is_set() and (found is None or found.holder != self.holder):
            who = f"was taken over by {found.holder}" if found else "is gone"
            self._taken = (
                f"Lease {name} of this run {who}: its effects are being undone, so no more faults will be injected"
            )


def _micro_time(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
