"""A CronJob that sweeps its own cluster, with a ServiceAccount that has only the permissions a sweep needs.

It undoes effects in the API and in pods, and removes the namespaces of dead runs. It reports what it cannot undo, for
``harness sweep`` to handle from another machine: effects on machines (a pod cannot reach the container runtime that
controls the nodes), and cluster-scoped objects of a workload (their kinds are unknown when the roles are written).
"""

from __future__ import annotations

from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import EXEC_VERBS, allow
from harness.cluster.kube.resources import (
    API_SERVICES,
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    ROLLOUTS,
    STATEFUL_SETS,
)
from harness.cluster.kube.roles import roles_for
from harness.common.naming import MANAGED_BY, SYSTEM_NAMESPACE
from harness.safety.leases import lease
from harness.safety.undo import cluster_copy

NAME = "resilience-janitor"
USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{NAME}"
DEADLINE_SECONDS = 600

PERMISSIONS = (
    cluster_copy.PERMISSIONS
    | lease.PERMISSIONS
    | allow(CONFIG_MAPS, "get", "list", "patch", "delete", place="system")
    | allow(LEASES, "get", "list", "create", "update", "patch", "delete", place="system")
    | allow(NAMESPACES, "get", "list", "delete", place="cluster")
    | allow(PODS, "get", "list", "delete")
    | allow(PODS, *EXEC_VERBS, part="exec")
    # Requests to applications' own switches.
    | allow(PODS, *EXEC_VERBS, part="portforward")
    | allow(DEPLOYMENTS, "get", "patch")
    | allow(STATEFUL_SETS, "get", "patch")
    | allow(DAEMON_SETS, "get", "patch")
    # Undoing a change of a pod template restores it from the revision that has it.
    | allow(REPLICA_SETS, "get", "list")
    | allow(CONTROLLER_REVISIONS, "get", "list", "delete")
    | allow(ROLLOUTS, "get", "patch")
    # Uncordoning.
    | allow(NODES, "get", "patch", place="cluster")
    # Serving the metrics of pods again.
    | allow(API_SERVICES, "get", "patch", place="cluster")
)


def manifests(image: str, schedule: str) -> list[Object]:
    """Return the objects to apply: namespace, ServiceAccount, roles, and the CronJob with ``sweep --in-cluster``."""
    return [*roles_for(PERMISSIONS, NAME), _cron_job(image, schedule)]


def _cron_job(image: str, schedule: str) -> Object:
    container = {
        "name": "sweep",
        "image": image,
        "command": ["python", "-m", "harness.cli"],
        "args": ["sweep", "--in-cluster"],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        # This and the pod's securityContext meet the Pod Security Standard "restricted".
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "serviceAccountName": NAME,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    job = {"backoffLimit": 0, "activeDeadlineSeconds": DEADLINE_SECONDS, "template": {"spec": pod}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": NAME, "namespace": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY)},
        "spec": {
            "schedule": schedule,
            # Two sweeps at once would be safe, but pointless.
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": job},
        },
    }
