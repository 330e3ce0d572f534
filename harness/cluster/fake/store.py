"""The objects of the fake API server: versions, UIDs, generations, deletion, history, and reactors to changes.

It implements the rules of a real server that clients depend on: optimistic concurrency, preconditions, a separate
status, graceful deletion of pods, finalizers, garbage collection by owner, a history that can be compacted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from harness.cluster.kube.client import Object
from harness.cluster.kube.owners import is_owned_by
from harness.cluster.kube.patches.strategic import copied
from harness.cluster.kube.resources import NAMESPACES, PODS, Resource
from harness.common.clock import Clock, iso
from harness.common.errors import ApiError
from harness.common.labels import parse_selector

_SETTLE_STEPS = 10_000
# The metadata that a write cannot change.
_IDENTITY = ("name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion")


@dataclass(frozen=True, slots=True)
class Change:
    """One write: ``type`` is ADDED, MODIFIED or DELETED; ``before`` is None for ADDED."""

    version: int
    type: str
    resource: Resource
    object: Object
    before: Object | None = None

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"].get("namespace", ""))


class Reactor(Protocol):
    """Reacts to changes with further writes, like a controller. Called in order, one change at a time."""

    def react(self, store: Store, change: Change) -> None:
        """Handle a change; write through the store."""


class Store:
    """All objects. Thread-safe; returns copies."""

    def __init__(self, clock: Clock) -> None:
        self.changed = threading.Condition()
        self.history: list[Change] = []
        self.reactors: list[Reactor] = []
        self.version = 1
        self.compacted = 0
        self._clock = clock
        self._objects: dict[tuple[str, str, str, str], tuple[Resource, Object]] = {}
        self._uids = 0
        self._pending: deque[Change] = deque()
        self._reacting = False

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return an object. Raises ApiError 404 if it does not exist."""
        with self.changed:
            try:
                return copied(self._objects[self._key(resource, namespace, name)][1])
            except KeyError:
                raise ApiError(404, "NotFound", f'{resource.plural} "{name}" not found') from None

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return an object, None if it does not exist."""
        with self.changed:
            found = self._objects.get(self._key(resource, namespace, name))
            return copied(found[1]) if found else None

    def owned(self, resource: Resource, namespace: str, uid: str) -> list[Object]:
        """Return the objects of a namespace that the object with this UID controls, sorted by name."""
        # Chosen before they are copied: a controller looks for its pods at each change of the cluster.
        with self.changed:
            found = [
                copied(item)
                for kind, item in self._objects.values()
                if kind == resource and item["metadata"].get("namespace", "") == namespace and is_owned_by(item, uid)
            ]
        return sorted(found, key=_identity)

    def list(self, resource: Resource, namespace: str | None = None, selector: str = "") -> list[Object]:
        """Return objects sorted by namespace and name; of all namespaces if none is given."""
        wanted = parse_selector(selector)
        with self.changed:
            found = [
                copied(item)
                for kind, item in self._objects.values()
                if kind == resource
                and namespace in {None, item["metadata"].get("namespace", "")}
                and wanted.matches(item["metadata"].get("labels") or {})
            ]
        return sorted(found, key=_identity)

    def create(self, resource: Resource, namespace: str, body: Object, *, with_status: bool = False) -> Object:
        """Create an object; ``with_status`` keeps the status in the body.

        Raises ApiError: 409 if the name is taken, 404 if the namespace does not exist.
        """
        with self.changed:
            item = copied(body)
            metadata = item["metadata"] = item.get("metadata") or {}
            self._place(resource, namespace, metadata)
            # A real server ignores the status in the body of a creation.
            if not with_status:
                item.pop("status", None)
            item["apiVersion"], item["kind"] = resource.group_version, resource.kind
            self._uids += 1
            # Like real UIDs, in the form of a version 4 UUID.
            metadata.setdefault("uid", f"{self._uids:08x}-0000-4000-8000-000000000000")
            metadata["creationTimestamp"] = self.now()
            metadata["generation"] = 1
            if resource == NAMESPACES:
                item.setdefault("status", {"phase": "Active"})
            return self._write("ADDED", resource, item, None)

    def update(
        self, resource: Resource, namespace: str, name: str, change: Callable[[Object], Object], part: str = ""
    ) -> Object:
        """Change an object, or only its status if ``part`` is ``status``. Raises ApiError 404, 409."""
        with self.changed:
            before = self.get(resource, namespace, name)
            after = copied(change(copied(before)))
            _check_preconditions(resource, before, after)
            if part == "status":
                after = {**before, "status": after.get("status", {})}
            else:
                after.pop("status", None)
                after |= {"status": before["status"]} if "status" in before else {}
            identity = {key: before["metadata"][key] for key in _IDENTITY if key in before["metadata"]}
            after["metadata"] = {**after["metadata"], **identity}
            # Like a real server, which writes nothing for an update without a change and keeps the resourceVersion.
            if after == before:
                return before
            # As on a real server, changes of metadata and status do not increment the generation.
            if after.get("spec") != before.get("spec"):
                after["metadata"]["generation"] = before["metadata"]["generation"] + 1
            deleting = "deletionTimestamp" in after["metadata"]
            # A real server deletes a terminating object when its last finalizer is removed.
            if deleting and before["metadata"].get("finalizers") and not after["metadata"].get("finalizers"):
                self.remove(resource, namespace, name)
                return after
            return self._write("MODIFIED", resource, after, before)

    def delete(self, resource: Resource, namespace: str, name: str, options: Object) -> None:
        """Delete an object with the options of the API: UID precondition (409), grace period, dry run, propagation."""
        with self.changed:
            item = self.get(resource, namespace, name)
            wanted = (options.get("preconditions") or {}).get("uid")
            if wanted is not None and wanted != item["metadata"]["uid"]:
                raise conflict(resource, name, f"the UID in the precondition ({wanted}) is not the UID in record")
            if options.get("dryRun"):
                return
            grace = _grace(resource, item, options)
            if not item["metadata"].get("finalizers") and grace == 0:
                self.remove(resource, namespace, name, cascade=options.get("propagationPolicy") != "Orphan")
            elif "deletionTimestamp" not in item["metadata"]:
                after = copied(item)
                after["metadata"] |= {"deletionTimestamp": self.now(grace), "deletionGracePeriodSeconds": grace}
                self._write("MODIFIED", resource, after, item)

    def remove(self, resource: Resource, namespace: str, name: str, *, cascade: bool = True) -> None:
        """Remove an object at once with all that it owns; a namespace with everything in it."""
        with self.changed:
            found = self._objects.pop(self._key(resource, namespace, name), None)
            if found is None:
                return
            item = found[1]
            self._record(Change(self.version + 1, "DELETED", resource, _stamped(item, self.version + 1), item))
            for other, dependent in list(self._objects.values()):
                metadata = dependent["metadata"]
                owners = [owner["uid"] for owner in metadata.get("ownerReferences") or ()]
                inside = resource == NAMESPACES and metadata.get("namespace") == name
                if inside or (cascade and item["metadata"]["uid"] in owners):
                    self.remove(other, metadata.get("namespace", ""), metadata["name"])

    def compact(self) -> None:
        """Discard the history: every watch that is open or resumes from an earlier version gets a 410."""
        with self.changed:
            self.version += 1
            self.compacted = self.version
            self.history.clear()
            self.changed.notify_all()

    def now(self, later: float = 0.0) -> str:
        """Return the server's time plus ``later`` seconds, in the API's resolution of one second."""
        return iso(self._clock.wall() + later).partition(".")[0] + "Z"

    def _place(self, resource: Resource, namespace: str, metadata: dict[str, Any]) -> None:
        if "name" not in metadata and "generateName" in metadata:
            # A real server appends five random characters; a number makes the names of a test predictable.
            metadata["name"] = f"{metadata['generateName']}{self._uids + 1:05x}"
        if resource.namespaced:
            self.get(NAMESPACES, "", namespace)
            metadata["namespace"] = namespace
        if self._key(resource, namespace, metadata["name"]) in self._objects:
            raise ApiError(409, "AlreadyExists", f'{resource.plural} "{metadata["name"]}" already exists')

    def _write(self, kind: str, resource: Resource, item: Object, before: Object | None) -> Object:
        item = _stamped(item, self.version + 1)
        metadata = item["metadata"]
        self._objects[self._key(resource, metadata.get("namespace", ""), metadata["name"])] = (resource, item)
        self._record(Change(self.version + 1, kind, resource, copied(item), before))
        return copied(item)

    def _record(self, change: Change) -> None:
        self.version = change.version
        self.history.append(change)
        self._pending.append(change)
        self.changed.notify_all()
        # Writes of a reactor are queued: handled within the write, they would recurse.
        if self._reacting:
            return
        self._reacting = True
        try:
            self._settle()
        finally:
            self._reacting = False

    def _settle(self) -> None:
        for _ in range(_SETTLE_STEPS):
            if not self._pending:
                return
            change = self._pending.popleft()
            for reactor in self.reactors:
                reactor.react(self, change)
        raise RuntimeError(f"the fake cluster's reactors do not settle: {len(self._pending)} changes are pending")

    @staticmethod
    def _key(resource: Resource, namespace: str, name: str) -> tuple[str, str, str, str]:
        return (resource.group_version, resource.plural, namespace if resource.namespaced else "", name)


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    """Return the error for a write that is based on an outdated object."""
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {resource.plural} "{name}": {why}')


def _check_preconditions(resource: Resource, before: Object, after: Object) -> None:
    for key in ("uid", "resourceVersion"):
        if after["metadata"].get(key, before["metadata"][key]) != before["metadata"][key]:
            raise conflict(resource, before["metadata"]["name"], f"{key} differs: the object has been modified")


def _grace(resource: Resource, item: Object, options: Object) -> int:
    # A pod without a node is removed at once, whatever its grace period: there is no kubelet to stop it.
    spec = item.get("spec") or {}
    if resource != PODS or not spec.get("nodeName"):
        return 0
    given = options.get("gracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    # Kubernetes' default of terminationGracePeriodSeconds.
    return 30 if given is None else int(given)


def _stamped(item: Object, version: int) -> Object:
    item = copied(item)
    item["metadata"]["resourceVersion"] = str(version)
    return item


def _identity(item: Object) -> tuple[str, str]:
    return str(item["metadata"].get("namespace", "")), str(item["metadata"]["name"])
