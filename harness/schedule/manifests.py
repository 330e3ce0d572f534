"""The objects of a schedule, from its values. The Helm chart in ``chart/`` makes the same ones: keep them alike."""

from __future__ import annotations

from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.roles import bound_role
from harness.common.naming import MANAGED_BY, SYSTEM_NAMESPACE
from harness.schedule.naming import SCHEDULE_LABEL
from harness.schedule.pod import pod_template
from harness.schedule.values import Values

NODE_PORTS = {"protocol": "TCP", "port": 30000, "endPort": 32767}
# Where a run tries whether it can dial a node.
KUBELET = 10250
DNS = 53
# Kept when a Helm release is uninstalled: other runs use the namespace, and the reports are what the schedule is for.
_KEPT = {"helm.sh/resource-policy": "keep"}


def manifests(values: Values) -> list[Object]:
    """Return all objects in the order in which they can be applied."""
    found = [
        *([_namespace()] if values.create_namespace else []),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(values)},
        *_roles(values),
    ]
    if values.files:
        found.append(_config_map(values))
    if values.results.volume:
        found.append(_claim(values))
    if values.network.enabled:
        found.append(_network_policy(values))
    return [*found, cron_job(values)]


def _namespace() -> Object:
    metadata = {"name": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY), "annotations": dict(_KEPT)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def cron_job(values: Values) -> Object:
    """Return the CronJob. It has no ``suspend``, so that applying it again does not resume a suspended schedule."""
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": _metadata(values),
        "spec": {
            "schedule": values.schedule,
            "timeZone": values.time_zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": values.start_within_seconds,
            "successfulJobsHistoryLimit": values.history.succeeded,
            "failedJobsHistoryLimit": values.history.failed,
            "jobTemplate": {
                "metadata": {"labels": labels(values)},
                "spec": {
                    # A second attempt would hide the first one.
                    "backoffLimit": 0,
                    "activeDeadlineSeconds": values.deadline_seconds,
                    "template": pod_template(values, labels(values)),
                },
            },
        },
    }


def labels(values: Values) -> dict[str, str]:
    """Return the labels of every object of the schedule, by which they are found again."""
    return {**MANAGED_BY, SCHEDULE_LABEL: values.name}


def _metadata(values: Values, name: str = "", namespace: str = SYSTEM_NAMESPACE) -> dict[str, Any]:
    return {"name": name or values.object_name, "namespace": namespace, "labels": labels(values)}


def _roles(values: Values) -> list[Object]:
    account = {"name": values.object_name, "namespace": SYSTEM_NAMESPACE}
    found = bound_role(values.rules, values.object_name, account, "") if values.rules else []
    for namespace, rules in sorted(values.roles.items()):
        found += bound_role(rules, values.object_name, account, namespace)
    for item in found:
        item["metadata"]["labels"] = labels(values)
    return found


def _config_map(values: Values) -> Object:
    data = {file.key: file.text for file in values.files}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(values, values.config_map), "data": data}


def _claim(values: Values) -> Object:
    volume = values.results.volume
    assert volume is not None
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size}},
    }
    if volume.storage_class:
        spec["storageClassName"] = volume.storage_class
    metadata = _metadata(values, values.claim) | {"annotations": dict(_KEPT)}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def _network_policy(values: Values) -> Object:
    """Return the policy: no connection into the pod, and out of it only what a run needs.

    Policies are compared after the translation of a Service's address, so that pods are matched by their own ports.
    """
    servers = [server for server in (values.results.s3, values.source.git) if server]
    ports = {*values.network.api_ports, *values.network.ports, KUBELET, *(server.port for server in servers)}
    dns = [{"protocol": protocol, "port": DNS} for protocol in ("UDP", "TCP")]
    outside = [{"protocol": "TCP", "port": port} for port in sorted(ports)]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(values),
        "spec": {
            "podSelector": {"matchLabels": {SCHEDULE_LABEL: values.name}},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [
                # Targets of load and probes, Prometheus and DNS in the cluster: experiments choose their own ports.
                {"to": [{"namespaceSelector": {}}]},
                # API servers, nodes and what is outside of the cluster have no pods to select.
                {"ports": [*dns, *outside, NODE_PORTS]},
            ],
        },
    }
