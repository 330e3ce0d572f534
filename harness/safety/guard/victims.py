"""The victims that a fault may select: not in the cluster's own namespaces, not protected, and replaceable."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from harness.cluster.kube.client import Object
from harness.cluster.kube.owners import controller_of, is_static
from harness.common.errors import ClusterRefused
from harness.common.naming import SYSTEM_NAMESPACE

PROTECTED_LABEL = "resilience.harness/protected"
_NEVER = {"kube-system", "kube-public", "kube-node-lease", SYSTEM_NAMESPACE}


def check_namespace(name: str, allowed: Collection[str] = ()) -> None:
    """Raise ClusterRefused for the cluster's own namespaces, and for ``default`` unless it is in ``allowed``."""
    if name in _NEVER:
        raise ClusterRefused(f"namespace {name} is never touched: the cluster or the harness depends on it")
    if name == "default" and name not in allowed:
        raise ClusterRefused("namespace default is not touched unless allowed: experiments run in their own namespaces")


def check_reach(fault: str, *, disruptive: bool, allowed: bool) -> None:
    """Raise ClusterRefused for a disruptive kind of fault unless ``allowed``: the experiment is declared disruptive."""
    if disruptive and not allowed:
        raise ClusterRefused(
            f"{fault} hits more than the experiment's own namespace: set disruptive: true in the experiment file, or "
            "mark the Python test with pytest.mark.disruptive"
        )


def is_of_the_cluster(namespace: str) -> bool:
    """Return whether the cluster or the harness depends on what runs in a namespace."""
    return namespace in _NEVER


def check_victims(victims: Iterable[Object], namespace: str) -> None:
    """Raise ClusterRefused unless all victims are in the namespace and unprotected, and all pods replaceable."""
    check_namespace(namespace)
    for victim in victims:
        _check_victim(victim, namespace)


def _check_victim(victim: Object, namespace: str) -> None:
    metadata = victim["metadata"]
    name = f"{victim['kind'].lower()}/{metadata['name']}"
    if metadata.get("namespace") != namespace:
        raise ClusterRefused(
            f"{name} is in namespace {metadata.get('namespace')}, not in the experiment's namespace {namespace}"
        )
    if PROTECTED_LABEL in (metadata.get("labels") or {}):
        raise ClusterRefused(f"{name} has the label {PROTECTED_LABEL}")
    if victim["kind"] != "Pod":
        return
    if is_static(victim):
        node = (victim.get("spec") or {}).get("nodeName")
        raise ClusterRefused(f"{name} is a static pod of node {node}: its kubelet runs it, the API has only a copy")
    if controller_of(victim) is None:
        raise ClusterRefused(f"{name} has no controller: nothing would replace it")
