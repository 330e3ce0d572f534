"""Give the fields of an existing object back to their owners after a fault has changed and restored their values.

The API server records in ``metadata.managedFields`` which client wrote which field. A fault that changes a field takes
it from its owner, and its undo does not return it: the owner's next server-side apply with another value would be
refused as a conflict. The entry is written before that of the fault, so it is undone after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.cluster.kube.client import FIELD_MANAGER, KubeApi, Object
from harness.cluster.kube.resources import WORKLOADS
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, NotYet
from harness.safety.undo.journal import Journal, UndoAction

OWNERS_KIND = "fieldOwners"
# Written by the Deployment controller at every rollout, also at the one that undoes another.
_OF_CONTROLLERS = "deployment.kubernetes.io/"


def undo_actions() -> dict[str, UndoAction]:
    """Return the undo actions of this module, by kind of journal entry."""
    return {OWNERS_KIND: undo_owners}


def record_owners(api: KubeApi, journal: Journal, namespace: str, workloads: Sequence[str]) -> None:
    """Journal the field owners of workloads (``kind/name``) that a fault is about to change. Raises ApiError."""
    for of in workloads:
        kind, _, name = of.partition("/")
        found = api.get(WORKLOADS[kind], name, namespace)
        parameters = {
            "namespace": namespace,
            "of": of,
            "uid": found["metadata"]["uid"],
            "written": _digest(found),
            "owners": [entry for entry in _entries(found) if not _is_status(entry)],
        }
        journal.write(OWNERS_KIND, f"return the fields of {of} to their owners", parameters)


def undo_owners(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
    """Return the fields of an object to their owners, if it has the same values as before. Raises NotYet, ApiError."""
    of, namespace = str(parameters["of"]), parameters["namespace"]
    kind, _, name = of.partition("/")
    found = cluster.api.find(WORKLOADS[kind], name, namespace)
    if found is None or found["metadata"]["uid"] != parameters["uid"]:
        return f"{of} is gone: it has no field owners"
    before, now = list(parameters["owners"]), _entries(found)
    if not any(_is_ours(entry) for entry in now) or any(_is_ours(entry) for entry in before):
        return f"{of} has the field owners that it had"
    if _digest(found) != parameters["written"]:
        return f"{of} was changed since by another client: its field owners are left as they are"
    names = {_name(entry) for entry in before}
    others = [entry for entry in now if _name(entry) not in names and not _is_ours(entry)]
    # With the version that was read, so that a change by another client in between is not overwritten.
    metadata = {"resourceVersion": found["metadata"]["resourceVersion"], "managedFields": [*before, *others]}
    try:
        cluster.api.patch(WORKLOADS[kind], name, {"metadata": metadata}, namespace)
    except ApiError as error:
        if error.status != 409:
            raise
        raise NotYet(f"{of} has changed meanwhile: {error}") from error
    return f"the fields of {of} belong to their owners again"


def _entries(item: Object) -> list[Object]:
    return list(item["metadata"].get("managedFields") or [])


def _is_status(entry: Mapping[str, Any]) -> bool:
    return entry.get("subresource") == "status"


def _is_ours(entry: Mapping[str, Any]) -> bool:
    return entry.get("manager") == FIELD_MANAGER and not _is_status(entry)


def _name(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(entry.get(key, "")) for key in ("manager", "operation", "apiVersion", "subresource"))


def _digest(item: Object) -> str:
    """Return a digest of what users write in an object; a digest, since a pod template may hold credentials."""
    metadata = item["metadata"]
    annotations = metadata.get("annotations") or {}
    written = {
        "spec": item.get("spec"),
        "labels": metadata.get("labels") or {},
        "annotations": {key: value for key, value in annotations.items() if not key.startswith(_OF_CONTROLLERS)},
    }
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()
