"""Check for what cannot be moved to an experiment's namespaces, because the cluster has it once.

Cluster-scoped objects and access to nodes are checked elsewhere: they need ``disruptive: true``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.shapes import mapping
from harness.experiment.isolation.layout import Layout, collisions
from harness.experiment.workload_checks.references import Finding

# Kinds that faults, objectives and timelines identify by `kind/name`; Pods also through their owner's name.
_IDENTIFIED = frozenset(
    {"Deployment", "StatefulSet", "DaemonSet", "Rollout", "Service", "HorizontalPodAutoscaler", "Pod"}
)
_SYSTEM = "kube-"


def shared(objects: Sequence[Object], layout: Layout) -> Iterator[Finding]:
    """Yield each object, or field, that refers to something outside that cannot be copied.

    ``layout`` has the namespaces of the workload without the patch of a twin.
    """
    for item, other in collisions(objects, layout):
        if item["kind"] in _IDENTIFIED:
            yield Finding(
                item,
                ("metadata", "name"),
                f"found {reference(item)} in the namespaces {other} and {layout.home(item)}, expected a name that is "
                "unique in the workload: faults and objectives refer to objects by kind/name",
            )
    roles = {(layout.home(item), item["metadata"]["name"]) for item in objects if item["kind"] == "Role"}
    volumes = {item["metadata"]["name"] for item in objects if item["kind"] == "PersistentVolume"}
    for item in objects:
        spec, role = mapping(item.get("spec")), mapping(item.get("roleRef"))
        if item["kind"] == "Service" and spec.get("externalIPs"):
            message = "found addresses outside of the cluster, expected none: only one Service can have them"
            yield Finding(item, ("spec", "externalIPs"), message)
        volume = spec.get("volumeName")
        if item["kind"] == "PersistentVolumeClaim" and volume and volume not in volumes:
            message = f"found {volume}, a volume that exists already; expected none: the experiment gets a new volume"
            yield Finding(item, ("spec", "volumeName"), message)
        home, name = layout.home(item), str(role.get("name"))
        system = item["kind"] == "RoleBinding" and home.startswith(_SYSTEM) and role.get("kind") == "Role"
        if system and (home, name) not in roles:
            expected = f"objects of {home} are created in the experiment's own namespace"
            message = f"found {name}, a role of the cluster's namespace {home}; expected a role of the workload: "
            yield Finding(item, ("roleRef", "name"), message + expected)
