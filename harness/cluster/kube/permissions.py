"""The permissions that the harness needs: declared next to the code that makes the calls, checked before any change.

A permission is one verb on one resource in one place. ``harness rbac`` builds roles from them, the preflight checks
each (a SelfSubjectAccessReview), and ``used`` derives those that a call needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote

from harness.cluster.kube import published
from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.resources import ACCESS_REVIEWS, Resource
from harness.common.naming import SYSTEM_NAMESPACE

# The namespaces of experiments; the harness's own namespace; cluster-scoped resources and all namespaces together.
Place = Literal["experiment", "system", "cluster"]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "WATCH": "watch"}
# A WebSocket opens with a GET, so RBAC checks the verb "get"; since Kubernetes 1.35 it checks "create" too.
EXEC_VERBS = ("get", "create")


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """One verb on one resource in one place.

    ``resource`` is the plural, with the subresource after a slash: ``pods/eviction``. With a ``name``, it covers only
    the object of that name; with a ``namespace``, only that existing namespace instead of those of experiments.
    """

    place: Place
    group: str
    resource: str
    verb: str
    name: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        named = f"{self.resource}.{self.group}" if self.group else self.resource
        named += f" {self.name}" if self.name else ""
        own = f"in namespace {self.namespace}" if self.namespace else "in the experiment's namespace"
        where = {"experiment": own, "system": f"in {SYSTEM_NAMESPACE}", "cluster": ""}
        return f"{self.verb} {named} {where[self.place]}".strip()


def allow(resource: Resource, *verbs: str, place: Place = "experiment", part: str = "") -> frozenset[Permission]:
    """Return the permissions for verbs on a resource, or on its subresource ``part`` (``eviction``, ``exec``)."""
    group = resource.group_version.rpartition("/")[0]
    name = f"{resource.plural}/{part}" if part else resource.plural
    return frozenset(Permission(place, group, name, verb) for verb in verbs)


def within(permissions: Iterable[Permission], namespace: str) -> frozenset[Permission]:
    """Return the permissions with those for an experiment's namespaces limited to one existing namespace."""
    return frozenset(replace(each, namespace=namespace) if each.place == "experiment" else each for each in permissions)


def resource_of(api_version: str, kind: str, defined: Iterable[Resource] = ()) -> Resource:
    """Return the resource of a kind without a request to a cluster.

    Kubernetes' own kinds are in the published table, others may be in ``defined``; for the rest the plural is guessed
    (see ``is_guess``).
    """
    own = published.kinds().get((api_version, kind))
    known = (found for found in defined if (found.group_version, found.kind) == (api_version, kind))
    return own or next(known, None) or Resource(api_version, published.guessed_plural(kind), kind)


def is_guess(api_version: str, kind: str, defined: Iterable[Resource] = ()) -> bool:
    """Return whether ``resource_of`` can only guess the plural."""
    known = {(found.group_version, found.kind) for found in defined}
    return (api_version, kind) not in known and (api_version, kind) not in published.kinds()


def guessed(objects: Sequence[Object]) -> Iterator[str]:
    """Yield, as text for messages, the resource of each kind among the objects whose plural is only guessed."""
    defined = defined_by(objects)
    for api_version, kind in {(item["apiVersion"], item["kind"]) for item in objects}:
        if is_guess(api_version, kind, defined):
            yield f"{resource_of(api_version, kind).plural} of {kind} in {api_version}"


def defined_by(objects: Iterable[Object]) -> list[Resource]:
    """Return the resources that CustomResourceDefinitions among the objects define, in each version that is served."""
    found = []
    for spec in (item.get("spec") or {} for item in objects if item.get("kind") == "CustomResourceDefinition"):
        names, versions = spec.get("names") or {}, spec.get("versions") or []
        if {"plural", "kind"} <= set(names) and "group" in spec:
            namespaced = spec.get("scope") != "Cluster"
            found += [
                Resource(f"{spec['group']}/{version['name']}", names["plural"], names["kind"], namespaced)
                for version in versions
                if "name" in version and version.get("served", True)
            ]
    return found


def used(method: str, path: str) -> Iterator[Permission]:
    """Yield the permissions that a call needs. ``method`` is the HTTP method, WATCH, EXEC or FORWARD.

    None for paths without a resource and for access reviews, which every user may create. Server-side apply of a new
    object also needs ``create``, which cannot be derived from the path and is not included.
    """
    parts = [unquote(part) for part in path.strip("/").split("/")]
    # One part alone is the list of all groups.
    if len(parts) == 1 or parts[0] not in {"api", "apis"} or is_review(method, path):
        return
    # /api/VERSION/… for the core group, /apis/GROUP/VERSION/… for all others.
    depth = 2 if parts[0] == "api" else 3
    group, rest = "" if parts[0] == "api" else parts[1], parts[depth:]
    namespace = None
    # namespaces/NAME without more is the Namespace object itself, which is cluster-scoped.
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return
    resource = "/".join([rest[0], *rest[2:3]])
    place: Place = "cluster" if namespace is None else "system" if namespace == SYSTEM_NAMESPACE else "experiment"
    verbs = (
        EXEC_VERBS if method in {"EXEC", "FORWARD"} else [_VERBS.get(method) or ("get" if len(rest) > 1 else "list")]
    )
    yield from (Permission(place, group, resource, verb) for verb in verbs)


def is_review(method: str, path: str) -> bool:
    """Return whether a call is an access review, which only checks the caller's permissions."""
    return method == "POST" and path == ACCESS_REVIEWS.path()


def denied(api: KubeApi, wanted: Iterable[Permission], namespace: str, known: dict[Permission, bool]) -> list[str]:
    """Return the permissions that the API server does not grant, as text for messages, sorted. Raises ApiError.

    Each is checked only once: ``known`` keeps the results. ``namespace`` represents all namespaces of experiments; a
    permission for one existing namespace is checked there.
    """
    for permission in sorted(set(wanted) - set(known)):
        known[permission] = _granted(api, permission, namespace)
    return [str(permission) for permission in sorted(wanted) if not known[permission]]


def _granted(api: KubeApi, permission: Permission, namespace: str) -> bool:
    resource, _, part = permission.resource.partition("/")
    attributes: Object = {"verb": permission.verb, "group": permission.group, "resource": resource}
    if part:
        attributes["subresource"] = part
    if permission.name:
        attributes["name"] = permission.name
    if permission.place != "cluster":
        own = permission.namespace or namespace
        attributes["namespace"] = SYSTEM_NAMESPACE if permission.place == "system" else own
    review = {
        "apiVersion": ACCESS_REVIEWS.group_version,
        "kind": ACCESS_REVIEWS.kind,
        "spec": {"resourceAttributes": attributes},
    }
    return bool(api.create(ACCESS_REVIEWS, review)["status"]["allowed"])
