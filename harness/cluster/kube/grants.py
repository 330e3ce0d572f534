"""The permissions needed to create roles and bindings: the API server lets a user grant only what the user has.

Creating a role needs every permission in it (or ``escalate`` on roles). Binding a role needs every permission in it (or
``bind`` on that role).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import Permission, Place

GROUP = "rbac.authorization.k8s.io"
_PLACES: dict[str, Place] = {
    "Role": "experiment",
    "ClusterRole": "cluster",
    "RoleBinding": "experiment",
    "ClusterRoleBinding": "cluster",
}
_PLURALS = {"Role": "roles", "ClusterRole": "clusterroles"}


def granted_by(objects: Iterable[Object]) -> dict[Permission, frozenset[Permission]]:
    """Return the permissions that creating these objects needs in addition to ``create``.

    For each entry, the key (``escalate`` or ``bind``) or all permissions of the value are needed; with an empty value,
    the key is needed.
    """
    ours = [item for item in objects if str(item.get("apiVersion")).partition("/")[0] == GROUP]
    made = {(item["kind"], item["metadata"]["name"]) for item in ours}
    found: dict[Permission, frozenset[Permission]] = {}
    for item in ours:
        kind, place = str(item["kind"]), _PLACES.get(str(item["kind"]))
        if place is None:
            continue
        if kind in _PLURALS:
            escalate = Permission(place, GROUP, _PLURALS[kind], "escalate")
            rules = [rule for rule in item.get("rules") or () if isinstance(rule, dict)]
            found[escalate] = found.get(escalate, frozenset()).union(*(_permissions(rule, place) for rule in rules))
            if item.get("aggregationRule") or any(rule.get("nonResourceURLs") for rule in rules):
                # The permissions of such a role cannot be listed by resource.
                found[_named(escalate, item["metadata"]["name"])] = frozenset()
            continue
        role = item.get("roleRef") or {}
        # The rules of a role among these objects are required already for creating that role.
        if role.get("kind") in _PLURALS and (role["kind"], role.get("name")) not in made:
            bind = Permission(place, GROUP, _PLURALS[role["kind"]], "bind")
            found[_named(bind, str(role.get("name")))] = frozenset()
    return {key: value for key, value in found.items() if value or key.name}


def _named(permission: Permission, name: str) -> Permission:
    return Permission(permission.place, permission.group, permission.resource, permission.verb, name)


def _permissions(rule: dict[str, Any], place: Place) -> Iterator[Permission]:
    parts = (rule.get(key) or () for key in ("apiGroups", "resources", "verbs"))
    for group, resource, verb in product(*parts):
        for name in rule.get("resourceNames") or ("",):
            yield Permission(place, group, resource, verb, name)
