"""The patches that the fake API server understands, as pure functions of an object and a patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar, cast

from harness.cluster.api import Object
from harness.errors import ApiError

# Whatever JSON can hold.
Json: TypeAlias = Any
T = TypeVar("T")


def copied(value: T) -> T:
    """A copy that shares nothing. ``copy.deepcopy`` takes five times as long, and a fake cluster copies everything."""
    return cast(T, _copied(value))


def _copied(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def merge_patch(target: Json, patch: Json) -> Json:
    """JSON merge patch (RFC 7386): null removes, lists are replaced whole."""
    if not isinstance(patch, dict):
        return copied(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge(target: Json, patch: Json) -> Json:
    """Like a merge patch, but lists of named objects (containers, volumes, environment) are merged by name.

    Real servers take each list's merge key from the type; ``name`` is the one that pod templates use, ports excepted.
    """
    if isinstance(patch, dict):
        merged = dict(target) if isinstance(target, dict) else {}
        for key, value in patch.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = strategic_merge(merged.get(key), value)
        return merged
    if _named(patch) and _named(target):
        by_name = {item["name"]: item for item in target}
        for item in patch:
            by_name[item["name"]] = strategic_merge(by_name.get(item["name"]), item)
        return list(by_name.values())
    return copied(patch)


def json_patch(target: Object, operations: Sequence[Object]) -> Object:
    """JSON patch (RFC 6902): add, remove, replace, test. ApiError 422 when an operation cannot be applied."""
    patched = copied(target)
    for operation in operations:
        *parents, last = [_unescape(part) for part in operation["path"].split("/")[1:]]
        place: Json = patched
        for part in parents:
            place = _step(place, part, operation)
        _operate(place, last, operation)
    return patched


def _operate(place: Json, key: str, operation: Object) -> None:
    name, value = operation["op"], copied(operation.get("value"))
    if name == "add":
        if isinstance(place, list):
            place.insert(len(place) if key == "-" else int(key), value)
        else:
            place[key] = value
        return
    found = _step(place, key, operation)
    index: Json = int(key) if isinstance(place, list) else key
    if name == "test":
        if found != value:
            raise _cannot(operation, f"testing value {operation['path']} failed")
    elif name == "replace":
        place[index] = value
    elif name == "remove":
        del place[index]
    else:
        raise _cannot(operation, f"unexpected kind of operation {name}")


def _step(place: Json, key: str, operation: Object) -> Json:
    try:
        return place[int(key)] if isinstance(place, list) else place[key]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise _cannot(operation, f"doc is missing path: {operation['path']}") from error


def _cannot(operation: Object, message: str) -> ApiError:
    return ApiError(422, "Invalid", f"{operation['op']} operation does not apply: {message}")


def _unescape(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _named(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)
