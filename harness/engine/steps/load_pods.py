"""The pods of a load that is generated in the cluster: one Job with a pod for each worker, in a separate namespace.

The pods run under the restricted Pod Security Standard: without root, privileges, a writable root file system or
credentials of the cluster. Faults never hit them: they are not part of the workload's namespace, and the guard refuses
faults on their nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.containers import why_ended
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.permissions import EXEC_VERBS, allow
from harness.cluster.kube.resources import EVENTS, JOBS, NAMESPACES, PODS
from harness.common.errors import ApiError, Inconclusive, TimedOut
from harness.common.naming import COMPONENT_LABEL, LOAD_COMPONENT, MANAGED_BY, RUN_LABEL
from harness.common.timeouts import WORKLOAD_READY
from harness.common.waiting import wait_until
from harness.engine.steps.deploy import never_pulled, why_not_ready
from harness.engine.steps.run import Run
from harness.traffic.load.remote.messages import AGENT_PORT, METRICS_PORT, Stream

JOB = "load"
USER = 65532
DIAL_SECONDS = 5.0
POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
PERMISSIONS = (
    allow(NAMESPACES, "create", "get", "delete", place="cluster")
    | allow(JOBS, "create", "patch")
    | allow(PODS, "get", "list")
    | allow(PODS, *EXEC_VERBS, part="portforward")
    | allow(EVENTS, "list")
)
_INDEX = "batch.kubernetes.io/job-completion-index"
_LOAD_LABEL = "resilience.harness/load"
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def job(
    namespace: str, image: str, run: str, *, workers: int, seconds: float, avoid: str, owned: bool, name: str = ""
) -> Object:
    """Return the Job of a load; ``name`` is that of the load, if there are several.

    It prefers nodes without pods of the namespace ``avoid``, and ends after ``seconds``. On a cluster that the harness
    made, it prefers the control plane's node, which node faults never hit.
    """
    labels = {**MANAGED_BY, RUN_LABEL: run, COMPONENT_LABEL: LOAD_COMPONENT, **_named(name)}
    return {
        "apiVersion": JOBS.group_version,
        "kind": JOBS.kind,
        "metadata": {"name": _job_name(name), "namespace": namespace, "labels": labels},
        "spec": {
            "parallelism": workers,
            "completions": workers,
            "completionMode": "Indexed",
            # A new pod could not continue the arrivals of one that was lost.
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(seconds),
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 5,
                    "affinity": _affinity(avoid, owned=owned),
                    "tolerations": [{"key": _CONTROL_PLANE, "effect": "NoSchedule"}] if owned else [],
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": USER,
                        "runAsGroup": USER,
                        "fsGroup": USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [_container(image)],
                    "volumes": [{"name": "work", "emptyDir": {}}, {"name": "temporary", "emptyDir": {}}],
                },
            },
        },
    }


def _job_name(load: str) -> str:
    return f"{JOB}-{load}" if load else JOB


def _named(load: str) -> dict[str, str]:
    return {_LOAD_LABEL: load} if load else {}


def _container(image: str) -> dict[str, Any]:
    return {
        "name": JOB,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        # The image serves the janitor and scheduled runs too.
        "command": ["python", "-m", "harness.traffic.load.remote.agent"],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        # No limits: a generator that is throttled starts its arrivals late.
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # Python's TLS loads a client's certificate from temporary files.
        "volumeMounts": [{"name": "work", "mountPath": "/work"}, {"name": "temporary", "mountPath": "/tmp"}],  # noqa: S108
    }


def _affinity(avoid: str, *, owned: bool) -> dict[str, Any]:
    term = {"labelSelector": {}, "namespaces": [avoid], "topologyKey": "kubernetes.io/hostname"}
    apart = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
    if not owned:
        return {"podAntiAffinity": apart}
    steady = {"matchExpressions": [{"key": _CONTROL_PLANE, "operator": "Exists"}]}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": steady}]}
    return {"podAntiAffinity": apart, "nodeAffinity": preferred}


@dataclass(frozen=True, slots=True)
class Placed:
    """A running pod of the load: its name, its node, its address, and whether pods of the workload share its node."""

    name: str
    node: str
    address: str
    shared: bool


def start_pods(
    run: Run, namespace: str, image: str, *, workers: int, seconds: float, avoid: str, name: str = ""
) -> list[Placed]:
    """Create the Job of a load and return its running pods in the order of the workers.

    Raises Inconclusive with the reason if one is not running within ``WORKLOAD_READY`` seconds.
    """
    api = run.cluster.api
    owned = run.cluster.ownership is Ownership.OWNED
    body = job(namespace, image, run.id, workers=workers, seconds=seconds, avoid=avoid, owned=owned, name=name)
    try:
        api.apply(body, namespace)
    except ApiError as error:
        raise Inconclusive(f"load from the cluster: job/{_job_name(name)} was rejected: {error}") from error
    found: list[Object] = []

    def look() -> tuple[bool | None, str]:
        run.go_on()
        own = (pod for pod in api.list(PODS, namespace).items if _load_of(pod) == name)
        found[:] = sorted(own, key=_index)
        for pod in found:
            for reason in never_pulled(pod):
                raise Inconclusive(f"load from the cluster: {reason}")
            if ended := why_pod_ended(pod):
                raise Inconclusive(f"load from the cluster: {ended}")
        running = [pod for pod in found if (pod.get("status") or {}).get("phase") == "Running"]
        if len(running) == workers:
            return True, ""
        return None, f"{len(running)} of {workers} pods are running{why_not_ready(api, namespace, found)}"

    try:
        wait_until("pods of the load", look, WORKLOAD_READY, run.clock)
    except TimedOut as error:
        raise Inconclusive(
            f"load from the cluster: its pods did not start within {WORKLOAD_READY:g} s: {error.last}"
        ) from error
    occupied = {str((pod.get("spec") or {}).get("nodeName")) for pod in api.list(PODS, avoid).items}
    return [_placed(pod, occupied) for pod in found]


def _load_of(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(_LOAD_LABEL, ""))


def _index(pod: Object) -> int:
    return int((pod["metadata"].get("annotations") or {}).get(_INDEX, 0))


def _placed(pod: Object, occupied: set[str]) -> Placed:
    node = str(pod["spec"].get("nodeName", ""))
    return Placed(pod["metadata"]["name"], node, str(pod["status"].get("podIP", "")), node in occupied)


def why_pod_ended(pod: Object) -> str:
    """Return why a pod of the load does not run any more, or an empty text."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"]:
        return f"pod {name} is being deleted"
    if status.get("phase") in {"Failed", "Succeeded"}:
        reasons = [why_ended(container) for container in status.get("containerStatuses") or ()]
        why = "; ".join(filter(None, [str(status.get("reason") or ""), *reasons]))
        return f"pod {name} ended ({why})" if why else f"pod {name} ended"
    return ""


class PodLink:
    """The connections to the agent in one pod, for a worker: see ``RemoteWorker``."""

    def __init__(self, api: KubeApi, namespace: str, pod: str) -> None:
        # A client for each thread.
        self._apis = {False: api, True: api.clone()}
        self._namespace, self._pod = namespace, pod

    def dial(self, following: bool) -> Stream:
        """Return a new connection. Raises OSError."""
        try:
            return self._apis[following].forward(self._namespace, self._pod, AGENT_PORT, DIAL_SECONDS)
        except ApiError as error:
            raise ConnectionError(str(error)) from error

    def gone(self) -> str | None:
        """Return why the pod will never answer again, or None if it may, or if this cannot be determined now."""
        try:
            pod = self._apis[True].find(PODS, self._pod, self._namespace)
        except ApiError:
            return None
        if pod is None:
            return f"pod {self._pod} was deleted"
        return why_pod_ended(pod) or None

    def close(self) -> None:
        """Close the connections of the following thread's client."""
        self._apis[True].close()
