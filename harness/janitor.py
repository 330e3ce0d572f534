"""A CronJob that sweeps its own cluster, as a ServiceAccount that may do no more than that.

It takes back what stands in the API and in pods, and removes namespaces of dead runs. What it cannot do it says, and
leaves for ``harness sweep`` elsewhere: effects on machines (nodes' power and network are the container runtime's, out
of a pod's reach), and objects without a namespace that a workload brought, whose kinds nobody knows beforehand.
"""

from __future__ import annotations

from harness import lease, undo_copy
from harness.cluster.api import Object
from harness.cluster.permissions import EXEC_VERBS, allow
from harness.cluster.resources import CONFIG_MAPS, DEPLOYMENTS, LEASES, NAMESPACES, PODS, REPLICA_SETS, STATEFUL_SETS
from harness.cluster.roles import roles_for
from harness.naming import MANAGED_BY, SYSTEM_NAMESPACE

NAME = "resilience-janitor"
USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{NAME}"
DEADLINE_SECONDS = 600

PERMISSIONS = (
    undo_copy.PERMISSIONS
    | lease.PERMISSIONS
    | allow(CONFIG_MAPS, "get", "list", "patch", "delete", place="system")
    | allow(LEASES, "get", "list", "create", "update", "patch", "delete", place="system")
    | allow(NAMESPACES, "get", "list", "delete", place="cluster")
    | allow(PODS, "get", "list", "delete")
    | allow(PODS, *EXEC_VERBS, part="exec")
    | allow(DEPLOYMENTS, "get", "patch")
    # A good version is put back as its ReplicaSet has it.
    | allow(REPLICA_SETS, "get")
    | allow(STATEFUL_SETS, "get", "patch")
)


def manifests(image: str, schedule: str) -> list[Object]:
    """What to apply: namespace, ServiceAccount, Roles, and the CronJob that runs ``harness sweep --in-cluster``."""
    return [*roles_for(PERMISSIONS, NAME), _cron_job(image, schedule)]


def _cron_job(image: str, schedule: str) -> Object:
    container = {
        "name": "sweep",
        "image": image,
        "args": ["sweep", "--in-cluster"],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
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
            # Two at once would be safe, and of no use.
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"spec": job},
        },
    }
