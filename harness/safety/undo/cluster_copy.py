"""The copy of an undo journal in the cluster: ConfigMaps in the harness's own namespace, labelled with the run.

A ConfigMap holds at most one MiB, so a long journal is split into several: ``undo-…``, ``undo-…-2`` and so on.
Finding the journals of other runs, as ``harness sweep`` does, also needs configmaps get and list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import CONFIG_MAPS, NAMESPACES
from harness.common.errors import ApiError, HarnessError
from harness.common.naming import (
    COMPONENT_LABEL,
    EXPIRES_ANNOTATION,
    KEPT_ANNOTATION,
    MANAGED_BY,
    RUN_LABEL,
    SYSTEM_NAMESPACE,
)
from harness.safety.undo.entry import Origin, Page, UndoEntry, decode, encode

PERMISSIONS = allow(NAMESPACES, "get", "create", place="cluster") | allow(
    CONFIG_MAPS, "create", "patch", "delete", place="system"
)
# Bytes. The API server accepts 1,048,576; the difference is room for the object's metadata.
LARGEST = 1_000_000
KEY = "undo.jsonl"
COMPONENT = "undo-journal"


@dataclass
class JournalCopy:
    """The ConfigMaps of one journal."""

    api: KubeApi
    origin: Origin
    parts: int = 0

    def publish(self, entries: Sequence[UndoEntry], *, kept: bool = False) -> None:
        """Write all entries; ``kept`` marks what they would remove as kept on purpose.

        Raises ApiError, and HarnessError for an entry that is too large for a ConfigMap.
        """
        if not self.parts:
            ensure_system_namespace(self.api)
        parts = list(_parts(self.origin, entries))
        for number, part in enumerate(parts, start=1):
            # Counted after each part, so that `withdraw` also finds the parts of a publication that failed halfway.
            self.api.apply(_config_map(self._name(number), self.origin, part, kept=kept), SYSTEM_NAMESPACE)
            self.parts = max(self.parts, number)

    def withdraw(self) -> None:
        """Delete all parts of the copy. Raises ApiError."""
        for number in range(self.parts, 0, -1):
            delete_if_there(self.api, self._name(number))
        self.parts = 0

    def _name(self, number: int) -> str:
        return f"{self.origin.journal}-{number}" if number > 1 else self.origin.journal


@dataclass(frozen=True, slots=True)
class FoundCopy:
    """A journal found in a cluster: its entries and ConfigMaps. ``problem`` is why it cannot be read, or empty."""

    run: str
    page: Page
    names: tuple[str, ...]
    kept: bool = False
    problem: str = ""


def find_copies(api: KubeApi) -> list[FoundCopy]:
    """Return every journal in the cluster, sorted by run and name. Raises ApiError."""
    selector = ",".join(f"{key}={value}" for key, value in {**MANAGED_BY, COMPONENT_LABEL: COMPONENT}.items())
    found: dict[tuple[str, str], list[Object]] = {}
    for item in api.list(CONFIG_MAPS, SYSTEM_NAMESPACE, selector).items:
        metadata = item["metadata"]
        run = metadata["labels"].get(RUN_LABEL, "")
        journal = (metadata.get("annotations") or {}).get(_JOURNAL_ANNOTATION, metadata["name"])
        found.setdefault((run, journal), []).append(item)
    return [_read(run, parts) for (run, _), parts in sorted(found.items(), key=lambda pair: pair[0])]


def delete_if_there(api: KubeApi, name: str) -> None:
    """Delete a ConfigMap of the harness's own namespace, if it exists. Raises ApiError."""
    try:
        api.delete(CONFIG_MAPS, name, SYSTEM_NAMESPACE)
    except ApiError as error:
        if not error.not_found:
            raise


def ensure_system_namespace(api: KubeApi) -> None:
    """Create the harness's own namespace if it is missing. Raises ApiError."""
    if api.find(NAMESPACES, SYSTEM_NAMESPACE) is None:
        metadata = {"name": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY)}
        try:
            # Not applied, since that would need permission to patch any namespace.
            api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        except ApiError as error:
            # Another run was faster.
            if error.status != 409:
                raise


_JOURNAL_ANNOTATION = "resilience.harness/journal"


def _read(run: str, parts: Sequence[Object]) -> FoundCopy:
    names = tuple(item["metadata"]["name"] for item in parts)
    kept = any(KEPT_ANNOTATION in (item["metadata"].get("annotations") or {}) for item in parts)
    text = "".join((item.get("data") or {}).get(KEY, "") for item in parts)
    try:
        return FoundCopy(run, decode(text.encode()), names, kept)
    except HarnessError as error:
        return FoundCopy(run, Page(None, ()), names, kept, f"ConfigMap {', '.join(names)}: {error}")


def _parts(origin: Origin, entries: Sequence[UndoEntry]) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    for entry in entries:
        line = encode(origin, entry)
        if len(line) > LARGEST:
            raise HarnessError(
                f"the undo entry of {entry.kind} ({entry.description}) has {len(line)} bytes, but a ConfigMap holds "
                f"{LARGEST}: it cannot be journalled, so the fault was not injected"
            )
        if part and sum(map(len, part)) + len(line) > LARGEST:
            yield part
            part = []
        part.append(line)
    yield part


def _config_map(name: str, origin: Origin, lines: Sequence[bytes], *, kept: bool) -> Object:
    entries = decode(b"".join(lines)).entries
    expires = max((entry.expires for entry in entries), default="")
    annotations = {_JOURNAL_ANNOTATION: origin.journal, EXPIRES_ANNOTATION: expires}
    if kept:
        annotations[KEPT_ANNOTATION] = "true"
    labels = {**MANAGED_BY, RUN_LABEL: origin.run, COMPONENT_LABEL: COMPONENT}
    metadata = {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": labels, "annotations": annotations}
    data = {KEY: b"".join(lines).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
