"""What the harness refuses to touch: every refusal is a ClusterRefused with one clear sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from harness.cluster.api import Object
from harness.errors import ClusterRefused
from harness.naming import SYSTEM_NAMESPACE

# Contexts that are made to be broken: those that kind and the harness itself write.
DEFAULT_CONTEXTS = ("kind-*", "local-*")
PROTECTED_LABEL = "resilience.harness/protected"
_NEVER = {"kube-system", "kube-public", "kube-node-lease", SYSTEM_NAMESPACE}


def check_context(
    context: str,
    allowed: Collection[str] = (),
    *,
    named_in_full: bool = False,
    patterns: Sequence[str] = DEFAULT_CONTEXTS,
) -> None:
    """Whether experiments may run on a context.

    One that matches ``patterns`` may. Any other must be named in full where the cluster is chosen *and* stand, in full
    too, in ``allowed``: two separate acts, so that a changed current context alone never leads to production.
    """
    listed = ", ".join(patterns)
    if any(fnmatchcase(context, pattern) for pattern in patterns):
        return
    if not named_in_full:
        raise ClusterRefused(f"context {context!r} is not on the allow-list ({listed}) and was not named in full")
    if context not in allowed:
        raise ClusterRefused(
            f"context {context!r} was named in full, but neither it nor a pattern ({listed}) allows it"
        )


def check_namespace(name: str, allowed: Collection[str] = ()) -> None:
    """Whether faults may be injected in a namespace: in the cluster's own never, in ``default`` only when allowed."""
    if name in _NEVER:
        raise ClusterRefused(f"namespace {name} is never touched: what keeps the cluster or the harness alive is in it")
    if name == "default" and name not in allowed:
        raise ClusterRefused("namespace default is not touched unless allowed: experiments run in one of their own")


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
