"""Compare the objects of an existing namespace before and after an experiment, field by field.

Compared is everything that users write: labels, annotations, and all fields but the status; and that the harness owns
no field that it did not own before. What the API server and controllers keep in an object is left out: versions,
timestamps, other managed fields, the revision of a Deployment. Objects that a controller made for another object, such
as pods, come and go and are left out.

A difference is a leftover if the harness caused it: by the object's managed fields it wrote the field, or it created
the object. All other differences are the work of others, and notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import FIELD_MANAGER, Object
from harness.cluster.kube.objects import reference
from harness.cluster.kube.owners import controller_of
from harness.cluster.kube.resources import NAMESPACES
from harness.common.naming import RUN_LABEL

Path = tuple[str, ...]
_IDENTITY = frozenset({"resourceVersion", "generation", "managedFields", "creationTimestamp", "selfLink", "uid"})
# Written by the Deployment controller at every rollout, also at the one that undoes another.
_REVISION = ("metadata", "annotations", "deployment.kubernetes.io/revision")
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs between two states: the harness's leftovers, and what others changed, one text each."""

    left: tuple[str, ...]
    others: tuple[str, ...]
    compared: int


def compare_objects(before: Sequence[Object], after: Sequence[Object]) -> Differences:
    """Compare two lists of a namespace's objects."""
    one, other = _by_name(before), _by_name(after)
    left: list[str] = []
    others: list[str] = []
    for name in sorted({*one, *other}):
        for text, ours in _differences(name, one.get(name), other.get(name)):
            (left if ours else others).append(text)
    return Differences(tuple(left), tuple(others), len(one))


def _by_name(objects: Iterable[Object]) -> dict[str, Object]:
    # With the group, since two groups may have the same kind.
    return {f"{item['apiVersion'].rpartition('/')[0]} {reference(item)}": item for item in objects if _counts(item)}


def _counts(item: Object) -> bool:
    return controller_of(item) is None


def _differences(name: str, before: Object | None, after: Object | None) -> Iterator[tuple[str, bool]]:
    shown = name.partition(" ")[2]
    if after is None:
        yield f"{shown} is gone", False
    elif before is None:
        yield f"{shown} was not there before", _made_by_us(after)
    elif before["metadata"].get("uid") != after["metadata"].get("uid"):
        yield f"{shown} was replaced by another object with the same name", _made_by_us(after)
    else:
        old, new = dict(_fields(before)), dict(_fields(after))
        changed = [path for path in sorted({*old, *new}) if old.get(path) != new.get(path)]
        for path in changed:
            change = f"{_short(old.get(path))} → {_short(new.get(path))}"
            yield f"{shown}: {'.'.join(path)}: {change}", _written_by_us(after, path)
        if _is_owner(after) and not _is_owner(before):
            # Owners are returned only if the object is as before: see ``harness.safety.undo.field_owners``.
            yield f"{shown}: metadata.managedFields: {FIELD_MANAGER} owns fields", not changed


def _is_owner(item: Object) -> bool:
    entries = item["metadata"].get("managedFields") or []
    return any(entry.get("manager") == FIELD_MANAGER and entry.get("subresource") != "status" for entry in entries)


def _fields(item: Object) -> Iterator[tuple[Path, Any]]:
    """Yield every compared field with its path; an empty mapping or list is a field too."""
    kept = {key: value for key, value in item.items() if key not in {"status", "apiVersion", "kind"}}
    kept["metadata"] = {key: value for key, value in item["metadata"].items() if key not in _IDENTITY}
    yield from ((path, value) for path, value in _leaves(kept, ()) if path != _REVISION)


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, f"[{index}]"))
    else:
        yield path, value


def _made_by_us(item: Object) -> bool:
    if RUN_LABEL in (item["metadata"].get("labels") or {}):
        return True
    return _manager_of(min, item["metadata"].get("managedFields") or []) == FIELD_MANAGER


def _written_by_us(item: Object, path: Path) -> bool:
    """Return whether the harness wrote a field; of a field that is gone, whether it wrote the object last."""
    if item["kind"] == NAMESPACES.kind:
        # No fault writes to a namespace itself; its users may label it with the harness's own client.
        return False
    written = [entry for entry in item["metadata"].get("managedFields") or [] if entry.get("subresource") != "status"]
    owners = {str(entry.get("manager")) for entry in written if _owns(entry.get("fieldsV1") or {}, path)}
    if owners:
        return FIELD_MANAGER in owners
    return _manager_of(max, written) == FIELD_MANAGER


def _manager_of(which: Callable[..., Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the manager of the first (``min``) or the last (``max``) of the managed fields' entries."""
    return str(which(entries, key=lambda entry: str(entry.get("time", "")), default={}).get("manager"))


def _owns(fields: Mapping[str, Any], path: Path) -> bool:
    for key in path:
        if key.startswith("["):
            # Managed fields name the items of a list by their keys, not by their index: the list itself must do.
            return bool(fields)
        if f"f:{key}" not in fields:
            return False
        fields = fields[f"f:{key}"]
    return True


def _short(value: Any) -> str:  # noqa: ANN401 - any JSON value
    text = "(none)" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
