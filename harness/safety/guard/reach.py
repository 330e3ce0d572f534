"""The objects of a workload that affect more than the namespace created for it.

Manifests may come from untrusted sources. Objects in the experiment's namespace are deleted with it and cannot affect
others. This includes RoleBindings with any role, since they grant it in their own namespace only. Cluster-scoped
objects affect the whole cluster: a webhook that fails closed stops all admission, a ClusterRoleBinding grants its role
everywhere, an APIService takes over a part of the API. Such objects need ``disruptive: true``.

Only StorageClasses and PriorityClasses can be harmless, if they affect only objects that refer to them by name.
"""

from __future__ import annotations

from functools import cache

from harness.cluster.kube import published
from harness.cluster.kube.client import Object

# The annotation that makes a class the default. Only its suffix is compared, since older clusters use a beta prefix.
_DEFAULT_CLASS = "/is-default-class"


def is_cluster_wide(item: Object) -> bool | None:
    """Return whether an object is cluster-scoped, by its kind alone.

    None if only a cluster can answer: for custom resources, and for kinds newer than the published table.
    """
    group, kind = str(item["apiVersion"]).rpartition("/")[0], item["kind"]
    namespaced = _namespaced().get((group, kind))
    return None if namespaced is None else not namespaced


@cache
def _namespaced() -> dict[tuple[str, str], bool]:
    """Return whether each built-in kind is namespaced, by group and kind: this does not differ between versions."""
    found = published.kinds().values()
    return {(one.group_version.rpartition("/")[0], one.kind): one.namespaced for one in found}


def is_harmless(item: Object) -> bool:
    """Return whether a cluster-scoped object affects only objects that refer to it by name."""
    group, kind = str(item["apiVersion"]).rpartition("/")[0], item["kind"]
    if (group, kind) == ("storage.k8s.io", "StorageClass"):
        annotations = item["metadata"].get("annotations") or {}
        return not any(str(key).endswith(_DEFAULT_CLASS) for key in annotations)
    if (group, kind) == ("scheduling.k8s.io", "PriorityClass"):
        # Pods of a preempting class would evict pods of other users.
        return item.get("preemptionPolicy") == "Never" and not item.get("globalDefault")
    return False
