"""Patches of pod templates in custom resources, for which the API server supports no strategic merge."""

from __future__ import annotations

from harness.cluster.kube.patches.rules import type_of
from harness.cluster.kube.patches.strategic import Json, strategic_merge

Object = dict[str, Json]


def as_merge_patch(template: Object, patch: Object) -> Object:
    """Return the JSON merge patch of a pod template that has the effect of a strategic merge patch.

    Raises PatchError if the strategic merge patch cannot be applied.
    """
    # Any built-in kind with a pod template has the merge rules of its fields.
    of = type_of("apps/v1", "Deployment")
    assert of is not None, "the published types have no Deployment"
    after = strategic_merge({"spec": {"template": template}}, {"spec": {"template": patch}}, of)
    return _difference(template, after["spec"]["template"])


def _difference(before: Object, after: Object) -> Object:
    found: Object = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := _difference(old, value):
                found[key] = inner
        elif key not in before or old != value:
            found[key] = value
    return found
