"""The capabilities of a cluster that its API shows."""

from __future__ import annotations

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import (
    API_SERVICES,
    CUSTOM_METRICS_API,
    EXTERNAL_METRICS_API,
    METRICS_API,
    STORAGE_CLASSES,
)
from harness.cluster.protocol import Capability
from harness.common.errors import ApiError

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"

# Optional: without a permission the capability counts as missing.
PERMISSIONS = {
    Capability.METRICS_SERVER: allow(API_SERVICES, "get", place="cluster"),
    Capability.EXTERNAL_METRICS: allow(API_SERVICES, "get", place="cluster"),
    Capability.CUSTOM_METRICS: allow(API_SERVICES, "get", place="cluster"),
    Capability.DYNAMIC_VOLUMES: allow(STORAGE_CLASSES, "list", place="cluster"),
}
_APIS = {
    Capability.METRICS_SERVER: METRICS_API,
    Capability.EXTERNAL_METRICS: EXTERNAL_METRICS_API,
    Capability.CUSTOM_METRICS: CUSTOM_METRICS_API,
}


def served_by_api(api: KubeApi) -> set[Capability]:
    """Return the capabilities in ``PERMISSIONS`` as far as the cluster has them and permits reading them."""
    found = {capability for capability, name in _APIS.items() if _is_available(api, name)}
    if _default_storage_class(api):
        found.add(Capability.DYNAMIC_VOLUMES)
    return found


def _is_available(api: KubeApi, name: str) -> bool:
    try:
        service = api.find(API_SERVICES, name)
    except ApiError as error:
        if error.status == 403:
            return False
        raise
    return holds(service or {}, "Available")


def _default_storage_class(api: KubeApi) -> bool:
    try:
        classes = api.list(STORAGE_CLASSES).items
    except ApiError as error:
        if error.status == 403:
            return False
        raise
    return any(item["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true" for item in classes)
