"""The nodes that a fault may hit: none that the cluster, the load or the measurement depends on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.cluster.kube.client import Object
from harness.cluster.kube.conditions import has_ended
from harness.cluster.kube.owners import controller_kind, is_static
from harness.common.errors import ClusterRefused
from harness.common.naming import COMPONENT_LABEL, LOAD_COMPONENT, MANAGED_BY
from harness.safety.guard.victims import PROTECTED_LABEL, is_of_the_cluster

# kubeadm labelled control-plane nodes with "master" before Kubernetes 1.24.
CONTROL_PLANE_LABELS = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
# Labels of Prometheus pods as installed by the harness, plain manifests, the operator and the Helm charts.
_PROMETHEUS_LABELS = (("app", "prometheus"), ("app.kubernetes.io/name", "prometheus"))


def is_control_plane(node: Object) -> bool:
    """Return whether a node is labelled as a control-plane node."""
    return any(label in (node["metadata"].get("labels") or {}) for label in CONTROL_PLANE_LABELS)


def check_nodes(nodes: Iterable[Object], pods: Sequence[Object], dialled: str, *, also_protected: bool = False) -> None:
    """Raise ClusterRefused if one of these nodes must not be hit.

    ``pods`` are all pods of the cluster, ``dialled`` is the host that the load connects to. A control-plane node, a
    protected node, the node that the load connects to, and one with pods that generate load are always refused: without
    them, the run could not measure the fault's effect. A node that runs DNS, metrics, Prometheus or a protected pod
    needs ``also_protected``.
    """
    for node in nodes:
        _check_node(node, dialled)
        name = node["metadata"]["name"]
        loading = [_title(pod) for pod in pods if _is_on(pod, name) and _is_load(pod)]
        if loading:
            raise ClusterRefused(f"node/{name} runs {', '.join(sorted(loading))}, which generates the load")
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
        raise ClusterRefused(f"node/{name} has the label {PROTECTED_LABEL}")
    if dialled in {address["address"] for address in node.get("status", {}).get("addresses", ())}:
        raise ClusterRefused(f"node/{name} is the node that the load connects to, at {dialled}")


def _is_on(pod: Object, node: str) -> bool:
    return pod.get("spec", {}).get("nodeName") == node and not has_ended(pod)


def _is_steady(pod: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    if PROTECTED_LABEL in labels or any(labels.get(key) == value for key, value in _PROMETHEUS_LABELS):
        return True
    # DaemonSet pods and static pods run on every node, and stop and start with it.
    bound = controller_kind(pod) == "DaemonSet" or is_static(pod)
    return is_of_the_cluster(pod["metadata"]["namespace"]) and not bound


def _is_load(pod: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return labels.get(COMPONENT_LABEL) == LOAD_COMPONENT and MANAGED_BY.items() <= labels.items()


def _title(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
