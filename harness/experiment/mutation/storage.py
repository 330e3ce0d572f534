"""The operator that takes away persistent storage: data ends with its pod."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.experiment.mutation.operator import Operator, Patches, of_kinds, pod_of, spec_of

_CLAIM, _TEMPLATES = "persistentVolumeClaim", "volumeClaimTemplates"


def _empty_dirs(objects: Sequence[Object]) -> Patches:
    patches: Patches = {}
    for item in of_kinds(objects):
        volumes: list[dict[str, Any]] = [
            {"name": each["name"], _CLAIM: None, "emptyDir": {}}
            for each in pod_of(item).get("volumes") or ()
            if each.get(_CLAIM)
        ]
        templates = spec_of(item).get(_TEMPLATES) or ()
        volumes += [{"name": each["metadata"]["name"], "emptyDir": {}} for each in templates]
        if volumes:
            claims = {_TEMPLATES: None} if templates else {}
            patches[reference(item)] = {"spec": {"template": {"spec": {"volumes": volumes}}, **claims}}
    return patches


EMPTY_DIR_FOR_CLAIM = Operator(
    "empty-dir-for-claim",
    "volume claims are empty directories that end with their pod",
    "has no volume claims",
    _empty_dirs,
)
