"""Which nodes a fault may hit: none that carries what keeps the cluster, the load or the measurement alive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.cluster.api import Object
from harness.errors import ClusterRefused
from harness.guard.victims import PROTECTED_LABEL, is_of_the_cluster

CONTROL_PLANE_LABELS = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
# How installations label the pods of Prometheus: ours, plain manifests, the operator and the Helm charts.
_PROMETHEUS_LABELS = (("app", "prometheus"), ("app.kubernetes.io/name", "prometheus"))


def is_control_plane(node: Object) -> bool:
    """Whether a node says of itself that the control plane runs on it."""
    return any(label in (node["metadata"].get("labels") or {}) for label in CONTROL_PLANE_LABELS)


def check_nodes(nodes: Iterable[Object], pods: Sequence[Object], dialled: str, *, also_protected: bool = False) -> None:
    """Whether these nodes may be hit, given all pods of the cluster and the host that the load dials.

    Never the control plane's, one that is labelled protected, or the one that the load dials: the run could not tell
    what it broke. One that runs DNS, metrics, Prometheus or a protected pod only when told (``also_protected``).
    """
    for node in nodes:
        _check_node(node, dialled)
        name = node["metadata"]["name"]
        steady = [] if also_protected else [_title(pod) for pod in pods if _is_on(pod, name) and _is_steady(pod)]
        if steady:
            raise ClusterRefused(
                f"node/{name} runs {', '.join(sorted(steady)[:3])}, which the cluster or the measurement depends on; "
                "alsoProtected: true allows it"
            )


def _check_node(node: Object, dialled: str) -> None:
    name = node["metadata"]["name"]
    if is_control_plane(node):
        raise ClusterRefused(f"node/{name} runs the control plane")
    if PROTECTED_LABEL in (node["metadata"].get("labels") or {}):
        raise ClusterRefused(f"node/{name} carries the label {PROTECTED_LABEL}")
    if dialled in {address["address"] for address in node.get("status", {}).get("addresses", ())}:
        raise ClusterRefused(f"node/{name} is the one that the load dials, at {dialled}")


def _is_on(pod: Object, node: str) -> bool:
    over = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return pod.get("spec", {}).get("nodeName") == node and not over


def _is_steady(pod: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    if PROTECTED_LABEL in labels or any(labels.get(key) == value for key, value in _PROMETHEUS_LABELS):
        return True
    # Every node has its own of a DaemonSet's pods, and of static ones: they go and come with it.
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences") or () if owner.get("controller")}
    return is_of_the_cluster(pod["metadata"]["namespace"]) and not owners & {"DaemonSet", "Node"}


def _title(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
