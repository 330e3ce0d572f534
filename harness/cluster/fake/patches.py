"""The patch types of the fake API server, as pure functions of an object and a patch."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cluster.kube.client import Object
from harness.cluster.kube.patches.rules import type_of
from harness.cluster.kube.patches.strategic import Json, PatchError, apply_merge, copied, merge_patch, strategic_merge
from harness.common.errors import ApiError


def strategic(target: Object, patch: Object) -> Object:
    """Apply a strategic merge patch. Raises ApiError: 415 for custom resources (as a real server), 400 if invalid."""
    of = type_of(target["apiVersion"], target["kind"])
    if of is None:
        raise ApiError(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
    try:
        return strategic_merge(target, patch, of)
    except PatchError as error:
        raise ApiError(400, "BadRequest", str(error)) from error


def applied(target: Object, body: Object) -> Object:
    """Server-side apply a body to an existing object. Raises ApiError 500.

    Field managers are not tracked, so fields missing in the body are kept; lists of custom resources are replaced.
    """
    of = type_of(target["apiVersion"], target["kind"])
    try:
        return merge_patch(target, body) if of is None else apply_merge(target, body, of)
    except PatchError as error:
        raise ApiError(500, "InternalError", str(error)) from error


def json_patch(target: Object, operations: Sequence[Object]) -> Object:
    """Apply a JSON patch (RFC 6902): add, remove, replace, test. Raises ApiError 422 if an operation fails."""
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
    # In this order (RFC 6901): the other way round, "~01" would become "/" instead of "~1".
    return part.replace("~1", "/").replace("~0", "~")
