"""What the API server must allow: declared beside the code that makes the calls, asked for before anything is touched.

A permission is one verb on one resource at one place. Roles are made of them (``harness rbac``), the preflight asks for
each (a SelfSubjectAccessReview), and an audited call tells which ones it used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from harness.cluster import resources
from harness.cluster.api import KubeApi, Object
from harness.cluster.resources import ACCESS_REVIEWS, Resource
from harness.naming import SYSTEM_NAMESPACE

# The namespaces that a run makes, the harness's own one, and what is in no namespace or in all of them.
Place = Literal["experiment", "system", "cluster"]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "WATCH": "watch"}
# A WebSocket opens with a GET, which is the verb that is asked about; since Kubernetes 1.35 "create" is asked too.
EXEC_VERBS = ("get", "create")


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """``resource`` is the plural, with the subresource after a slash: ``pods/eviction``."""

    place: Place
    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        named = f"{self.resource}.{self.group}" if self.group else self.resource
        where = {"experiment": "in the experiment's namespace", "system": f"in {SYSTEM_NAMESPACE}", "cluster": ""}
        return f"{self.verb} {named} {where[self.place]}".strip()


def allow(resource: Resource, *verbs: str, place: Place = "experiment", part: str = "") -> frozenset[Permission]:
    """Verbs on a resource, or on one of its parts (``eviction``, ``exec``, ``log``)."""
    group = resource.group_version.rpartition("/")[0]
    name = f"{resource.plural}/{part}" if part else resource.plural
    return frozenset(Permission(place, group, name, verb) for verb in verbs)


def resource_of(api_version: str, kind: str) -> Resource:
    """Where a kind lives, told without a cluster: known ones as they are, others by the plural that Kubernetes guesses
    too (``UnsafeGuessKindToResource`` in k8s.io/apimachinery)."""
    for known in vars(resources).values():
        if isinstance(known, Resource) and (known.group_version, known.kind) == (api_version, kind):
            return known
    name = kind.lower()
    ending = name[:-1] + "ies" if name.endswith("y") else name + ("es" if name.endswith("s") else "s")
    return Resource(api_version, ending, kind)


def used(method: str, path: str) -> Iterator[Permission]:
    """What a call needs. ``method`` is the HTTP method, WATCH or EXEC; nothing for paths that name no resource,
    and for asking what one may do, which everybody may.

    Applying what is not there yet needs ``create`` besides ``patch``, which the path cannot tell.
    """
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] not in {"api", "apis"} or is_review(method, path):
        return
    depth = 2 if parts[0] == "api" else 3
    group, rest = "" if parts[0] == "api" else parts[1], parts[depth:]
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return
    resource = "/".join([rest[0], *rest[2:3]])
    place: Place = "cluster" if namespace is None else "system" if namespace == SYSTEM_NAMESPACE else "experiment"
    verbs = EXEC_VERBS if method == "EXEC" else [_VERBS.get(method) or ("get" if len(rest) > 1 else "list")]
    yield from (Permission(place, group, resource, verb) for verb in verbs)


def is_review(method: str, path: str) -> bool:
    """Whether a call only asks what the caller may do."""
    return method == "POST" and path == ACCESS_REVIEWS.path()


def denied(api: KubeApi, wanted: Iterable[Permission], namespace: str, known: dict[Permission, bool]) -> list[str]:
    """Those of the permissions that the API server does not grant here, in words, sorted; each is asked about once:
    ``known`` keeps the answers. ``namespace`` stands for all those that a run makes. Raises ApiError."""
    for permission in sorted(set(wanted) - set(known)):
        known[permission] = _granted(api, permission, namespace)
    return [str(permission) for permission in sorted(wanted) if not known[permission]]


def _granted(api: KubeApi, permission: Permission, namespace: str) -> bool:
    resource, _, part = permission.resource.partition("/")
    attributes: Object = {"verb": permission.verb, "group": permission.group, "resource": resource}
    if part:
        attributes["subresource"] = part
    if permission.place != "cluster":
        attributes["namespace"] = SYSTEM_NAMESPACE if permission.place == "system" else namespace
    review = {
        "apiVersion": ACCESS_REVIEWS.group_version,
        "kind": ACCESS_REVIEWS.kind,
        "spec": {"resourceAttributes": attributes},
    }
    return bool(api.create(ACCESS_REVIEWS, review)["status"]["allowed"])
