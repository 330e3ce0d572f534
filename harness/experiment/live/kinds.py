"""The kinds of objects that a live workload may have, and the permissions to read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.discovery import custom_resources
from harness.cluster.kube.owners import controller_of
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import (
    AUTOSCALERS,
    BUDGETS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
    VOLUME_CLAIMS,
    Resource,
)
from harness.common.errors import ApiError
from harness.common.naming import LOAD_SERVICE, RUN_LABEL

_RBAC, _NETWORK = "rbac.authorization.k8s.io/v1", "networking.k8s.io/v1"
ROLES = Resource(_RBAC, "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "rolebindings", "RoleBinding")
ACCOUNTS = Resource("v1", "serviceaccounts", "ServiceAccount")
CRON_JOBS = Resource("batch/v1", "cronjobs", "CronJob")
POLICIES = Resource(_NETWORK, "networkpolicies", "NetworkPolicy")
INGRESSES = Resource(_NETWORK, "ingresses", "Ingress")
SECRETS = Resource("v1", "secrets", "Secret")
# Pods, ReplicaSets and the like belong to these; Secrets are read one by one, and only those named.
KINDS = (
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    REPLICATION_CONTROLLERS,
    JOBS,
    CRON_JOBS,
    SERVICES,
    CONFIG_MAPS,
    ACCOUNTS,
    ROLES,
    ROLE_BINDINGS,
    VOLUME_CLAIMS,
    AUTOSCALERS,
    BUDGETS,
    POLICIES,
    INGRESSES,
)
# What else users write in a namespace, for comparing its state.
_FURTHER = (
    PODS,
    REPLICA_SETS,
    Resource("v1", "limitranges", "LimitRange"),
    Resource("v1", "resourcequotas", "ResourceQuota"),
)
PERMISSIONS = frozenset().union(*(allow(resource, "list") for resource in KINDS)) | allow(
    NAMESPACES, "get", place="cluster"
)
# Kubernetes creates these in every namespace.
_GIVEN = frozenset({("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")})


STATE_PERMISSIONS = PERMISSIONS.union(*(allow(resource, "list") for resource in _FURTHER))


def reading_secrets(names: Iterable[str]) -> frozenset[Permission]:
    """Return the permissions to read Secrets by name."""
    return frozenset(Permission("experiment", "", SECRETS.plural, "get", name) for name in names)


def any_object() -> list[Object]:
    """Return an object of each kind that a copy may have, for what depends on the kind alone."""
    kinds = (resource for resource in (*KINDS, SECRETS) if resource is not INGRESSES)
    return [{"apiVersion": each.group_version, "kind": each.kind, "metadata": {"name": ""}} for each in kinds]


@dataclass(frozen=True, slots=True)
class Found:
    """The objects of a namespace that users made; ``denied`` are the kinds that may not be listed."""

    objects: tuple[Object, ...]
    denied: tuple[str, ...] = ()


def read_namespace(api: KubeApi, namespace: str) -> Found:
    """Read every object of ``KINDS``, and of custom resources as far as that is allowed. Raises ApiError.

    Objects that a controller, the cluster or the harness made, and those being deleted, are left out.
    """
    found, denied = _read(api, namespace, KINDS)
    return Found(tuple(item for item in found if is_users(item)), denied)


def read_state(api: KubeApi, namespace: str) -> tuple[list[Object], tuple[str, ...]]:
    """Return a namespace and all of its objects but Secrets, and the kinds that may not be listed. Raises ApiError."""
    objects, denied = _read(api, namespace, (*KINDS, *_FURTHER))
    found = api.find(NAMESPACES, namespace)
    return [*([found] if found else []), *objects], denied


def _read(api: KubeApi, namespace: str, kinds: Iterable[Resource]) -> tuple[list[Object], tuple[str, ...]]:
    objects: list[Object] = []
    denied: list[str] = []
    for resource in (*kinds, *custom_resources(api)):
        try:
            objects += api.list(resource, namespace).items
        except ApiError as error:
            # 404 and 405: a kind that the server has only in part, such as an aggregated API that is down.
            if error.status not in {403, 404, 405}:
                raise
            if error.status == 403:
                denied.append(resource.plural)
    return objects, tuple(denied)


def is_users(item: Object) -> bool:
    """Return whether an object is a user's own: not made by a controller, the cluster or the harness, not ending."""
    metadata = item["metadata"]
    if controller_of(item) or "deletionTimestamp" in metadata or RUN_LABEL in (metadata.get("labels") or {}):
        return False
    return metadata["name"] != LOAD_SERVICE and (item["kind"], metadata["name"]) not in _GIVEN
