"""Whom a fault may hit: nobody in the cluster's own namespaces, nobody protected, nobody that would not come back."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from harness.cluster.api import Object
from harness.errors import ClusterRefused
from harness.naming import SYSTEM_NAMESPACE

PROTECTED_LABEL = "resilience.harness/protected"
_NEVER = {"kube-system", "kube-public", "kube-node-lease", SYSTEM_NAMESPACE}


def check_namespace(name: str, allowed: Collection[str] = ()) -> None:
    """Whether faults may be injected in a namespace: in the cluster's own never, in ``default`` only when allowed."""
    if name in _NEVER:
        raise ClusterRefused(f"namespace {name} is never touched: what keeps the cluster or the harness alive is in it")
    if name == "default" and name not in allowed:
        raise ClusterRefused("namespace default is not touched unless allowed: experiments run in one of their own")


def check_reach(fault: str, *, disruptive: bool, allowed: bool) -> None:
    """Whether a kind of fault may be injected by an experiment that is, or is not, declared to be disruptive."""
    if disruptive and not allowed:
        raise ClusterRefused(
            f"{fault} hits more than the experiment's own namespace: the experiment must say disruptive: true, "
            "a test be marked with pytest.mark.disruptive"
        )


def is_of_the_cluster(namespace: str) -> bool:
    """Whether what keeps the cluster or the harness alive is in a namespace."""
    return namespace in _NEVER


def check_victims(victims: Iterable[Object], namespace: str) -> None:
    """Whether these objects may be hit: all in the experiment's namespace, none protected, every pod replaceable."""
    check_namespace(namespace)
    for victim in victims:
        _check_victim(victim, namespace)


def _check_victim(victim: Object, namespace: str) -> None:
    metadata = victim["metadata"]
    name = f"{victim['kind'].lower()}/{metadata['name']}"
    if metadata.get("namespace") != namespace:
        raise ClusterRefused(
            f"{name} is in namespace {metadata.get('namespace')}, not in the experiment's, {namespace}"
        )
    if PROTECTED_LABEL in (metadata.get("labels") or {}):
        raise ClusterRefused(f"{name} carries the label {PROTECTED_LABEL}")
    if victim["kind"] != "Pod":
        return
    owner = next((owner for owner in metadata.get("ownerReferences") or () if owner.get("controller")), None)
    if owner is None:
        raise ClusterRefused(f"{name} has no controller: nothing would bring it back")
    if owner["kind"] == "Node":
        raise ClusterRefused(f"{name} is a static pod of node {owner['name']}: what the API shows of it is a mirror")
