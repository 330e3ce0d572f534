"""The order in which a workload's objects are applied: definitions first, what intercepts requests last.

Custom resources need their CustomResourceDefinition. Webhooks and API services need the pods behind them: a webhook
that fails closed without them would refuse the workload's own objects. Custom resources that such a webhook defaults,
checks or converts come after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.cluster.kube import published
from harness.cluster.kube.client import Object
from harness.common.shapes import listed, mapping

# Kinds to apply first among the usual ones, because other objects use them. A pod that is created before the LimitRange
# of its namespace never gets its defaults.
_FIRST = [
    "LimitRange",
    "ResourceQuota",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
]
_FIRST += ["PersistentVolumeClaim", "Service"]
_DEFINITION = "CustomResourceDefinition"
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_INTERCEPTING = frozenset({"APIService", *_WEBHOOKS})


@dataclass(frozen=True, slots=True)
class Stages:
    """The objects of a workload in the order of their application.

    ``late`` are applied when the workload is ready.
    """

    definitions: tuple[Object, ...]
    usual: tuple[Object, ...]
    late: tuple[Object, ...]

    @classmethod
    def of(cls, objects: Sequence[Object]) -> Stages:
        """Sort objects into stages, and those of each stage by what they need."""
        groups = set(_intercepted(objects))
        late = [item for item in objects if intercepts(item) or (is_custom(item) and groups & {"*", _group(item)})]
        rest = [item for item in objects if not any(item is other for other in late)]
        return cls(
            tuple(item for item in rest if item["kind"] == _DEFINITION),
            tuple(sorted((item for item in rest if item["kind"] != _DEFINITION), key=_rank)),
            tuple(sorted(late, key=is_custom)),
        )


def intercepts(item: Object) -> bool:
    """Return whether the API server sends requests to the workload because of this object."""
    return item["kind"] in _INTERCEPTING and not is_custom(item)


def is_custom(item: Object) -> bool:
    """Return whether an object is a custom resource."""
    return (str(item["apiVersion"]), str(item["kind"])) not in published.kinds()


def _rank(item: Object) -> int:
    if is_custom(item):
        # After the operator's permissions and settings, with the pods.
        return len(_FIRST) + 1
    return _FIRST.index(item["kind"]) if item["kind"] in _FIRST else len(_FIRST)


def _group(item: Object) -> str:
    return str(item["apiVersion"]).rpartition("/")[0]


def _intercepted(objects: Sequence[Object]) -> Iterator[str]:
    """Yield the API groups whose objects the workload's webhooks default, check or convert."""
    for item in objects:
        if item["kind"] in _WEBHOOKS:
            rules = [rule for hook in map(mapping, listed(item.get("webhooks"))) for rule in listed(hook.get("rules"))]
            yield from (str(group) for rule in rules for group in listed(mapping(rule).get("apiGroups")))
        spec = mapping(item.get("spec"))
        if item["kind"] == _DEFINITION and mapping(spec.get("conversion")).get("strategy") == "Webhook":
            yield str(spec.get("group"))
