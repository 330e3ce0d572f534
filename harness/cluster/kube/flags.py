"""The command-line flags of a component, as far as its pods show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.permissions import Permission
from harness.cluster.kube.resources import PODS
from harness.common.errors import ApiError

KUBE_SYSTEM = "kube-system"
CONTROLLER_MANAGER = "kube-controller-manager"
METRICS_SERVER = "metrics-server"
# kubeadm, and so kind, gives a component of the control plane the first label, metrics-server's manifest the second.
_LABELS = {CONTROLLER_MANAGER: f"component={CONTROLLER_MANAGER}", METRICS_SERVER: f"k8s-app={METRICS_SERVER}"}
# Optional: without it no flag can be read.
PERMISSIONS = frozenset({Permission("experiment", "", PODS.plural, "list", namespace=KUBE_SYSTEM)})


def flags_in(arguments: Iterable[str]) -> dict[str, str]:
    """Return the flags of the form ``--name=value`` by their names."""
    found = (argument[2:].partition("=") for argument in arguments if argument.startswith("--"))
    return {name: value for name, separator, value in found if separator}


def flags_of_pods(api: KubeApi, component: str) -> Mapping[str, str]:
    """Return the flags of a component that runs as a pod; empty if there is no such pod or it may not be read."""
    if component not in _LABELS:
        return {}
    try:
        pods = api.list(PODS, KUBE_SYSTEM, _LABELS[component]).items
    except ApiError:
        # A permission that few have, and a control plane that its provider hides: the defaults are assumed instead.
        return {}
    containers = [container for pod in pods[:1] for container in pod["spec"]["containers"]]
    return flags_in(text for each in containers for text in (*(each.get("command") or ()), *(each.get("args") or ())))
