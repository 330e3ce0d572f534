"""References to objects in messages and experiment files: ``deployment/shop``."""

from __future__ import annotations

from harness.cluster.kube.client import Object

_SHORT_KINDS = {
    "horizontalpodautoscaler": "hpa",
    "persistentvolumeclaim": "pvc",
    "poddisruptionbudget": "pdb",
    "verticalpodautoscaler": "vpa",
}


def reference(item: Object) -> str:
    """Return ``kind/name`` of an object: ``deployment/podinfo``, ``hpa/podinfo``."""
    kind = str(item["kind"]).lower()
    return f"{_SHORT_KINDS.get(kind, kind)}/{item['metadata']['name']}"
