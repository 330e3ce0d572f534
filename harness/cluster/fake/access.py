"""Access control of the fake API server: evaluates Roles like a real server, and answers access reviews."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import used
from harness.common.errors import ApiError

_APPLY = "application/apply-patch+yaml"


class FakeAccess:
    """The permissions of every caller: these ClusterRoles, and these Roles, each in its namespace."""

    def __init__(self, roles: Iterable[Object]) -> None:
        self._rules = [
            (role["metadata"].get("namespace") if role["kind"] == "Role" else None, rule)
            for role in roles
            if role["kind"] in {"Role", "ClusterRole"}
            for rule in role["rules"]
        ]

    def check(self, method: str, path: str) -> None:
        """Raise ApiError 403 if a call is not allowed."""
        namespace = _namespace(path)
        for wanted in used(method, path):
            if not self._allows(wanted.verb, wanted.group, wanted.resource, namespace):
                raise ApiError(403, "Forbidden", f"{method} {path}: cannot {wanted}")

    def check_creation(self, content_type: str, path: str) -> None:
        """Raise ApiError 403 if a server-side apply would create an object without permission."""
        # A server-side apply is authorized as a patch, and also as a creation if the object does not exist.
        if content_type == _APPLY:
            for wanted in used("POST", path):
                if not self._allows("create", wanted.group, wanted.resource, _namespace(path)):
                    raise ApiError(403, "Forbidden", f"PATCH {path}: cannot create {wanted.resource}")

    def review(self, body: Object) -> Object:
        """Return the response to a SelfSubjectAccessReview."""
        wanted = body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (wanted["resource"], wanted.get("subresource"))))
        name = wanted.get("name", "")
        allowed = self._allows(wanted["verb"], wanted["group"], resource, wanted.get("namespace"), name)
        return {**body, "status": {"allowed": allowed}}

    def _allows(self, verb: str, group: str, resource: str, namespace: str | None, name: str = "") -> bool:
        return any(
            place in {None, namespace}
            and group in rule["apiGroups"]
            and resource in rule["resources"]
            and verb in rule["verbs"]
            and name in rule.get("resourceNames", [name])
            for place, rule in self._rules
        )


def _namespace(path: str) -> str | None:
    parts = path.split("/")
    return parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-2] else None
