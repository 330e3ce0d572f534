"""Applies a patch to one object and checks that it changed only the fields that it names.

The check compares the object before and after; it is independent of the code that merges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from harness.cluster.kube.patches.rules import MERGE, REPLACE, Field, field, is_own_group, type_of, version
from harness.cluster.kube.patches.strategic import (
    DELETE_FROM,
    PATCH,
    RETAIN_KEYS,
    SET_ORDER,
    Json,
    PatchError,
    Place,
    identity,
    merge_patch,
    strategic_merge,
)

Object = dict[str, Any]
# The identity of an object; the API server refuses a patch of these fields.
_IDENTITY: tuple[Place, ...] = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))


def apply_patch(item: Object, patch: Object) -> Object:
    """Return the patched object. Raises PatchError if the patch cannot be applied or changes fields it does not name.

    Kubernetes' own kinds get a strategic merge patch. Custom resources get a JSON merge patch, because the API server
    supports no strategic merge for them.
    """
    of = type_of(str(item["apiVersion"]), str(item["kind"]))
    if of is not None:
        after = strategic_merge(item, patch, of)
    elif is_own_group(str(item["apiVersion"])):
        known = f"Kubernetes {version()} has no {item['kind']} of {item['apiVersion']}"
        raise PatchError(f"{known}, so the merge rules for this patch are unknown; expected one of its versions")
    else:
        after = merge_patch(item, patch)
    for place in _IDENTITY:
        if _at(item, place) != _at(after, place):
            raise PatchError("a patch cannot change the identity of an object; leave this field out", place)
    for place in _directives(after):
        raise PatchError("is not a directive here, because the object has nothing to merge with; leave it out", place)
    for error in _maps(item, after, patch, of, ()):
        raise error
    return after


def _at(item: Json, place: Place) -> Json:
    for key in place:
        item = item.get(key) if isinstance(item, dict) else None
    return item


def _directives(value: Json, place: Place = ()) -> Iterator[Place]:
    """Yield where a directive was copied into the result like a field, as Kubernetes does there too."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in {PATCH, RETAIN_KEYS} or key.startswith((SET_ORDER, DELETE_FROM)):
                yield (*place, key)
            yield from _directives(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _directives(item, (*place, index))


def _maps(before: Json, after: Json, patch: Object, of: str | None, place: Place) -> Iterator[PatchError]:
    """Yield an error for every change of a map that the patch does not name, and for every item named ambiguously.

    ``of`` is the type of the map; None where lists are never merged.
    """
    # A map with $patch is replaced or deleted as a whole, so every change of it is named.
    if PATCH in patch or not isinstance(before, dict) or not isinstance(after, dict):
        return
    named = {key.removeprefix(SET_ORDER).removeprefix(DELETE_FROM) for key in patch}
    retained = patch.get(RETAIN_KEYS)
    for key in {**before, **after}:
        at = (*place, key)
        if key not in named:
            dropped = retained is not None and key not in retained and key not in after
            if not dropped and before.get(key) != after.get(key):
                yield _unnamed(at)
            continue
        rule = field(of, key) if of is not None else Field()
        value, old, new = patch.get(key), before.get(key), after.get(key)
        if isinstance(value, dict) and rule.strategy != REPLACE:
            yield from _maps(old, new, value, rule.type if of is not None else None, at)
        elif isinstance(old, list) and isinstance(new, list) and rule.strategy == MERGE and rule.key:
            items = value if isinstance(value, list) else []
            yield from _lists(old, new, items, rule, at, ordered=f"{SET_ORDER}{key}" in patch)


def _lists(
    before: list[Json], after: list[Json], patch: list[Json], rule: Field, place: Place, *, ordered: bool
) -> Iterator[PatchError]:
    """Compare the items of a merged list, each with the item of the patch that has its key."""
    if any(item.get(PATCH) == "replace" for item in patch):
        return
    keys = (rule.key,)
    old, new = ({identity(item, keys): item for item in items} for items in (before, after))
    counted, given = (Counter(identity(item, keys) for item in items) for items in (before, patch))
    named = {identity(item, keys): (index, item) for index, item in enumerate(patch)}
    for index, item in enumerate(patch):
        mine = identity(item, keys)
        if PATCH not in item and (max(counted[mine], given[mine]) > 1 or _another(old.get(mine), item, rule.keys)):
            yield _ambiguous(item, rule, (*place, index))
    for mine, item in old.items():
        if mine in named:
            index, wanted = named[mine]
            if PATCH not in wanted:
                yield from _maps(item, new.get(mine), wanted, rule.type, (*place, index))
        elif _all(before, mine, keys) != _all(after, mine, keys):
            yield _unnamed((*place, f"{rule.key}={item.get(rule.key)}"))
    order = [
        [mine for mine in _identities(items, keys) if mine in old and mine not in named] for items in (before, after)
    ]
    if not ordered and order[0] != order[1]:
        yield _unnamed(place)


def _identities(items: list[Json], keys: Sequence[str]) -> list[tuple[Json, ...]]:
    return [identity(item, keys) for item in items]


def _all(items: list[Json], wanted: tuple[Json, ...], keys: Sequence[str]) -> list[Json]:
    return [item for item in items if identity(item, keys) == wanted]


def _another(old: Json, item: Object, keys: Sequence[str]) -> bool:
    """Return whether an item of the patch names a different item than the one with the same merge key."""
    return old is not None and any(key in item and identity(item, (key,)) != identity(old, (key,)) for key in keys)


def _ambiguous(item: Object, rule: Field, place: Place) -> PatchError:
    keys = ", ".join(rule.keys or (rule.key,))
    return PatchError(
        f"kubectl merges this list by {rule.key} alone, so {rule.key} {item.get(rule.key)} would change another "
        f"item, or one of several (items are identified by {keys}); list all items, and add {{{PATCH}: replace}}",
        place,
    )


def _unnamed(place: Place) -> PatchError:
    return PatchError("would be changed, although the patch does not name it", place)
