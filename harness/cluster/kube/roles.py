"""Builds roles that grant exactly a set of permissions, and their bindings to a ServiceAccount."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import Permission
from harness.common.naming import MANAGED_BY, SYSTEM_NAMESPACE

_API = "rbac.authorization.k8s.io"


def roles_for(permissions: Iterable[Permission], name: str, proxied: Iterable[str] = ()) -> list[Object]:
    """Return the manifests of a ServiceAccount, a ClusterRole and a Role in the harness's namespace, both bound to it.

    What an experiment needs in its namespaces is in the ClusterRole too, since their names are not known beforehand;
    what it needs in an existing namespace is in a Role there.
    ``proxied`` are Prometheus and Alertmanager as ``NAMESPACE/SERVICE:PORT`` if they are reached through the API
    server, which needs a Role in that namespace.
    """
    wanted = sorted(permissions)
    account = {"name": name, "namespace": SYSTEM_NAMESPACE}
    found: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": _metadata(SYSTEM_NAMESPACE)},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(name, SYSTEM_NAMESPACE)},
        *_granted([each for each in wanted if each.place != "system" and not each.namespace], name, account),
        *_granted([each for each in wanted if each.place == "system"], name, account, SYSTEM_NAMESPACE),
    ]
    for namespace in sorted({each.namespace for each in wanted if each.namespace}):
        found += _granted([each for each in wanted if each.namespace == namespace], name, account, namespace)
    services: dict[str, list[str]] = {}
    for namespace, _, service in (each.partition("/") for each in proxied):
        services.setdefault(namespace, []).append(service)
    for namespace, names in services.items():
        found += bound_role([proxy_rule(*names)], name, account, namespace)
    return found


def rules_of(permissions: Iterable[Permission]) -> list[Object]:
    """Return the rules of a Role, as few as possible: one rule for all resources of a group with the same verbs."""
    verbs: dict[tuple[str, str, str], set[str]] = {}
    for permission in permissions:
        verbs.setdefault((permission.group, permission.name, permission.resource), set()).add(permission.verb)
    together: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (group, name, resource), found in sorted(verbs.items()):
        together.setdefault((group, name, tuple(sorted(found))), []).append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(allowed)}
        | ({"resourceNames": [name]} if name else {})
        for (group, name, allowed), resources in together.items()
    ]


def _granted(permissions: list[Permission], name: str, account: Object, namespace: str = "") -> list[Object]:
    return bound_role(rules_of(permissions), name, account, namespace) if permissions else []


def proxy_rule(*services: str) -> Object:
    """Return the rule for Services (``NAME:PORT``) that are queried through the API server."""
    # RBAC compares the name in the request's path, where HTTPS is a prefix of the Service's name.
    names = [name for service in services for name in (service, f"https:{service}")]
    return {"apiGroups": [""], "resources": ["services/proxy"], "resourceNames": names, "verbs": ["get"]}


def bound_role(rules: list[Object], name: str, account: Object, namespace: str) -> list[Object]:
    """Return a Role, or without a namespace a ClusterRole, and its binding to a ServiceAccount (name, namespace)."""
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
