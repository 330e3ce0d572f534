"""Access control for the fake API server: Roles as a real one reads them, and its answers to access reviews."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.api import Object
from harness.cluster.permissions import used
from harness.errors import ApiError

_APPLY = "application/apply-patch+yaml"


class FakeAccess:
    """Whoever calls has these Roles and ClusterRoles, each bound where it is: a Role in its namespace."""

    def __init__(self, roles: Iterable[Object]) -> None:
        self._rules = [
            (role["metadata"].get("namespace") if role["kind"] == "Role" else None, rule)
            for role in roles
            if role["kind"] in {"Role", "ClusterRole"}
            for rule in role["rules"]
        ]

    def check(self, method: str, path: str) -> None:
        """ApiError 403 for a call that is not allowed."""
        namespace = _namespace(path)
        for wanted in used(method, path):
            if not self._allows(wanted.verb, wanted.group, wanted.resource, namespace):
                raise ApiError(403, "Forbidden", f"{method} {path}: cannot {wanted}")

    def check_creation(self, content_type: str, path: str) -> None:
        """ApiError 403 when applying would create what may not be created."""
        if content_type == _APPLY:
            for wanted in used("POST", path):
                if not self._allows("create", wanted.group, wanted.resource, _namespace(path)):
                    raise ApiError(403, "Forbidden", f"PATCH {path}: cannot create {wanted.resource}")

    def review(self, body: Object) -> Object:
        """The answer to a SelfSubjectAccessReview."""
        asked = body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        allowed = self._allows(asked["verb"], asked["group"], resource, asked.get("namespace"))
        return {**body, "status": {"allowed": allowed}}

    def _allows(self, verb: str, group: str, resource: str, namespace: str | None) -> bool:
        return any(
            place in {None, namespace}
            and group in rule["apiGroups"]
            and resource in rule["resources"]
            and verb in rule["verbs"]
            for place, rule in self._rules
        )


def _namespace(path: str) -> str | None:
    parts = path.split("/")
    return parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-2] else None
