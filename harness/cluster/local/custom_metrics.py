"""custom.metrics.k8s.io for autoscalers with Pods and Object metrics, served by the harness's own program.

A metric NAME_per_second is the rate of the counter NAME_total, as in the usual rules of prometheus-adapter, so that the
same autoscaler works in clusters that have that one. Any other metric is the sum of the series with its name.
"""

from __future__ import annotations

from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import CUSTOM_METRICS_API
from harness.cluster.local.api_services import api_service

PROGRAM = "custom-metrics"
# That of the addon Prometheus.
_PROMETHEUS = "http://prometheus.monitoring.svc:9090"
# Four scrapes of it, one a second.
_WINDOW = "4s"
RULES = (
    f"(.+)_per_second => sum by (<by>) (rate(${{1}}_total{{<labels>}}[{_WINDOW}]))",
    "(.+) => sum by (<by>) (${1}{<labels>})",
)
_PORT = 8443
_RBAC = "rbac.authorization.k8s.io"


def objects(namespace: str) -> list[Object]:
    """Return what the program needs in its namespace and beyond, without its image and node."""
    named = {"metadata": {"name": PROGRAM}}
    port = {"name": "https", "port": 443, "targetPort": "https"}
    reads = [{"apiGroups": [""], "resources": ["pods", "services", "namespaces"], "verbs": ["get", "list"]}]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", **named},
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": f"system:{PROGRAM}"}, "rules": reads},
        _binding("ClusterRole", f"system:{PROGRAM}", namespace),
        # To have the API server check who asks.
        _binding("ClusterRole", "system:auth-delegator", namespace),
        _binding("Role", "extension-apiserver-authentication-reader", namespace, place="kube-system"),
        {"apiVersion": "v1", "kind": "Service", **named, "spec": {"selector": {"app": PROGRAM}, "ports": [port]}},
        {"apiVersion": "apps/v1", "kind": "Deployment", **named, "spec": _deployment()},
        # Like metrics-server, the program signs its own certificate at its start.
        api_service(CUSTOM_METRICS_API, namespace, PROGRAM),
    ]


def _binding(kind: str, role: str, namespace: str, place: str = "") -> Object:
    metadata = {"name": f"{PROGRAM}:{role.removeprefix('system:')}"}
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding" if place else "ClusterRoleBinding",
        "metadata": {**metadata, "namespace": place} if place else metadata,
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": PROGRAM, "namespace": namespace}],
    }


def _deployment() -> dict[str, Any]:
    labels = {"app": PROGRAM}
    rules = [f"--rule={rule}" for rule in RULES]
    probe = {"httpGet": {"path": "/readyz", "port": "https", "scheme": "HTTPS"}, "periodSeconds": 1}
    container = {
        "name": PROGRAM,
        "args": [f"--prometheus={_PROMETHEUS}", f"--secure-port={_PORT}", "--cert-dir=/tmp", *rules],
        "ports": [{"name": "https", "containerPort": _PORT}],
        "readinessProbe": probe,
        "resources": {"requests": {"cpu": "20m", "memory": "40Mi"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the container
    }
    pod = {
        "serviceAccountName": PROGRAM,
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
