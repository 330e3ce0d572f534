"""Roles that allow no more than a set of permissions, and whom they are given to."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.api import Object
from harness.cluster.permissions import Permission
from harness.naming import MANAGED_BY, SYSTEM_NAMESPACE

_API = "rbac.authorization.k8s.io"


def roles_for(permissions: Iterable[Permission], name: str, prometheus: str = "") -> list[Object]:
    """The manifests: a ServiceAccount, a ClusterRole and a Role for the harness's own namespace, both bound to it.

    What an experiment needs in its namespaces stands in the ClusterRole too: their names are not known beforehand.
    ``prometheus`` is ``NAMESPACE/SERVICE:PORT`` of one that is reached through the API server; it gets a Role there.
    """
    wanted = sorted(permissions)
    account = {"name": name, "namespace": SYSTEM_NAMESPACE}
    found: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": _metadata(SYSTEM_NAMESPACE)},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(name, SYSTEM_NAMESPACE)},
        *_granted([each for each in wanted if each.place != "system"], name, account),
        *_granted([each for each in wanted if each.place == "system"], name, account, SYSTEM_NAMESPACE),
    ]
    if prometheus:
        namespace, _, service = prometheus.partition("/")
        rule = {
            "apiGroups": [""],
            "resources": ["services/proxy"],
            "resourceNames": [service, f"https:{service}"],
            "verbs": ["get"],
        }
        found += _role([rule], name, account, namespace)
    return found


def rules_of(permissions: Iterable[Permission]) -> list[Object]:
    """The rules of a Role, as few as say the same: resources of one group that take the same verbs stand together."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for permission in permissions:
        verbs.setdefault((permission.group, permission.resource), set()).add(permission.verb)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), found in sorted(verbs.items()):
        together.setdefault((group, tuple(sorted(found))), []).append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(allowed)}
        for (group, allowed), resources in together.items()
    ]


def _granted(permissions: list[Permission], name: str, account: Object, namespace: str = "") -> list[Object]:
    return _role(rules_of(permissions), name, account, namespace) if permissions else []


def _role(rules: list[Object], name: str, account: Object, namespace: str) -> list[Object]:
    kind = "Role" if namespace else "ClusterRole"
    metadata = _metadata(name, namespace)
    return [
        {"apiVersion": f"{_API}/v1", "kind": kind, "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{_API}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _API, "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", **account}],
        },
    ]


def _metadata(name: str, namespace: str = "") -> Object:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "labels": dict(MANAGED_BY)}
