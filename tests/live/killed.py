"""Runs that are killed on a real cluster, and the leftovers that a sweep removes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import CONFIG_MAPS, LEASES, NAMESPACES, NODES, PODS
from harness.cluster.nodes.control import NodeTraces
from harness.cluster.nodes.traces import differences
from harness.cluster.protocol import NODE_CONTROL, Cluster
from harness.common.clock import SystemClock
from harness.common.naming import RUN_LABEL, SYSTEM_NAMESPACE
from harness.safety.cleanup.residue import Scope, Snapshot, compare, look

ROOT = Path(__file__).resolve().parents[2]
CLOCK = SystemClock()
# Parameters by kind, for a short run on the workload below. A new kind needs an entry here (a disruptive one in
# NODE_FAULTS): tests/contract/test_faults.py checks it.
FAULTS = {
    "podKill": "{selector: app=target, count: 1, gracePeriod: 0s}",
    "podEvict": "{selector: app=target, count: 1}",
    "containerKill": "{selector: app=target, count: 1}",
    "oomKill": "{selector: app=target, count: 1}",
    "scale": "{of: deployment/target, replicas: 1}",
    "badRollout": "{of: deployment/target, image: does-not:exist}",
    "rollout": "{of: deployment/target, patch: {metadata: {annotations: {version: '2'}}}}",
    "restart": "{of: deployment/target}",
    "pause": "{of: deployment/target}",
    "apply": "{object: {apiVersion: apps/v1, kind: Deployment, metadata: {name: target}, spec: {minReadySeconds: 1}}}",
    "processHang": "{selector: app=target, count: 1, process: podinfo}",
    "podRequest": "{selector: app=target, count: 1, request: {path: /readyz/disable, port: 9898},"
    " undo: {path: /readyz/enable, port: 9898}}",
    "podStress": "{selector: app=target, count: 1, cpu: 1, memory: 16Mi}",
    "rollback": "{of: deployment/target}",
    "resume": "{of: deployment/target}",
}
# Refused in an existing namespace, since some of it would stay there.
LASTING = {"podStress"}
# The fault that must come before, and is in effect together with it.
FIRST = {
    "rollback": "badRollout: {of: deployment/target, image: does-not:exist}",
    "resume": "pause: {of: deployment/target}",
}
# With KILL_OVER=KIND a fault of that kind comes before every other one that needs none.
if OVER := os.environ.get("KILL_OVER", ""):
    FIRST = dict.fromkeys(FAULTS, f"{OVER}: {FAULTS[OVER]}") | FIRST
# Faults on nodes. Those on the machines below can only be undone by a process on this machine.
NODE_FAULTS = {
    "cordon": "{hosting: app=target}",
    "drain": "{hosting: app=target}",
    "nodeStop": "{hosting: app=target}",
    "nodePause": "{hosting: app=target}",
    "nodeCutOff": "{hosting: app=target}",
    "nodeStress": "{hosting: app=target, cpu: 1, memory: 16Mi}",
    "nodeService": "{hosting: app=target, service: kubelet}",
    "metricsOutage": "{of: hpa/target}",
}
EXPERIMENT = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {{name: {name}}}
hypothesis: Killed at any step, nothing is left behind.
workload: {workload}
disruptive: {disruptive}
safety: {{metricsApi: {metrics}}}
phases: {{baseline: 100ms, fault: {fault}, recovery: 300ms, settle: 100ms}}
faults:
{faults}
objectives:
  - recoveryTime: {{of: deployment/target, max: 60s}}
"""
METRICS = "metricsOutage"
# The baseline waits until the autoscaler has read its metrics, about 20 s.
AUTOSCALED = "  - replicas: {of: hpa/target, neverAbove: 2}\n"
AUTOSCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: target}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: target}
  minReplicas: 2
  maxReplicas: 2
  metrics: [{type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: "1"}}}]
"""
# With an object that belongs to no namespace: it does not go with one.
WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: target}
spec:
  replicas: 2
  selector: {matchLabels: {app: target}}
  template:
    metadata: {labels: {app: target}}
    spec:
      terminationGracePeriodSeconds: 0
      shareProcessNamespace: true
      containers:
        - name: podinfo
          image: ${image:podinfo}
          imagePullPolicy: IfNotPresent
          command: ["./podinfo", "--port=9898"]
          resources: {limits: {memory: 64Mi}}
"""
# Of those that belong to no namespace one of the few that an experiment may bring without being disruptive.
STORAGE_CLASS = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {name}}}
provisioner: kubernetes.io/no-provisioner
"""


@dataclass(frozen=True)
class Victim:
    """A project with one experiment, whose run is to be killed. With ``existing`` it runs in that namespace."""

    folder: Path
    cluster: Cluster
    name: str
    kind: str
    existing: str = ""

    def prepare(self) -> None:
        workload = self.folder / "experiments" / "workloads" / "target"
        workload.mkdir(parents=True, exist_ok=True)
        (workload / "deployment.yaml").write_text(WORKLOAD)
        (workload / "role.yaml").write_text(STORAGE_CLASS.format(name=self.name))
        if self.kind == METRICS:
            (workload / "autoscaler.yaml").write_text(AUTOSCALER)
        text = EXPERIMENT.format(
            name=self.name,
            fault=_fault_phase(self.kind),
            faults=self._faults(),
            disruptive="true" if self.kind in NODE_FAULTS else "false",
            workload=f"{{existing: {{namespace: {self.existing}}}}}" if self.existing else "workloads/target",
            metrics="allowed" if self.kind == METRICS else "spared",
        )
        text += AUTOSCALED if self.kind == METRICS else ""
        (self.folder / "experiments" / f"{self.name}.yaml").write_text(text)
        (self.folder / "pytest.ini").write_text("[pytest]\n")

    def _faults(self) -> str:
        own = f"{self.kind}: {(FAULTS | NODE_FAULTS)[self.kind]}"
        return f"  - {FIRST[self.kind]}\n  - {own}\n    at: 1s" if self.kind in FIRST else f"  - {own}"

    def start(self, crash_at: str, log: Path | None = None, ttl: float = 60.0) -> subprocess.Popen[str]:
        """pytest on the project; it kills itself at the place named, or ends in order."""
        self.prepare()
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("RESILIENCE_", "PYTEST"))}
        environ |= {"CRASH_AT": crash_at, "CRASH_TTL": str(ttl), "PYTHONPATH": str(ROOT)} | (
            {"CRASH_LOG": str(log)} if log else {}
        )
        quick = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider", "-p", "no:xdist")
        where = [f"--cluster={self.cluster.context}", f"--kubeconfig={self.cluster.kubeconfig}"]
        where += ["--allow-disruptive"] if self.kind in NODE_FAULTS else []
        command = [sys.executable, "-m", "pytest", *quick, "-p", "tests.crash_plugin", "--assert=plain", *where]
        return subprocess.Popen(
            [*command, "experiments"],
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def _fault_phase(kind: str) -> str:
    if kind == METRICS:
        # An autoscaler looks every 5 s on the local cluster.
        return "6s"
    return "2s" if kind in FIRST else "300ms"


def sweep(cluster: Cluster, reports: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``harness sweep`` as a user calls it."""
    where = (f"--cluster={cluster.context}", "--kubeconfig", str(cluster.kubeconfig), "--reports", str(reports))
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", "sweep", *where, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@dataclass(frozen=True)
class Traces:
    """What must be the same before and after: everything outside of namespaces, and what the harness calls its own."""

    snapshot: Snapshot
    own: frozenset[str]

    @classmethod
    def of(cls, api: KubeApi) -> Traces:
        # Not limited to a run: the namespaces and labelled objects of all runs count.
        labelled = [
            f"{resource.plural}/{item['metadata']['name']}"
            for resource in (CONFIG_MAPS, LEASES)
            for item in api.list(resource, SYSTEM_NAMESPACE, RUN_LABEL).items
        ]
        labelled += [f"namespaces/{item['metadata']['name']}" for item in api.list(NAMESPACES, None, RUN_LABEL).items]
        classes = api.discover("storage.k8s.io/v1", "StorageClass")
        labelled += [f"storageclasses/{item['metadata']['name']}" for item in api.list(classes, None, RUN_LABEL).items]
        return cls(look(api, Scope("", "", (), strict=True)), frozenset(labelled))

    def left_by(self, after: Traces) -> list[str]:
        left, _ = compare(self.snapshot, after.snapshot, strict=True)
        return left + sorted(after.own - self.own)


def stopped_processes(api: KubeApi, namespaces: Sequence[str]) -> list[str]:
    """Return the pods of these namespaces that have a stopped process."""
    script = 'for f in /proc/[0-9]*/stat; do read -r s < $f; case "$s" in *") T "*) echo "$s";; esac; done'
    return [
        pod["metadata"]["name"]
        for namespace in namespaces
        for pod in api.list(PODS, namespace).items
        if api.exec(namespace, pod["metadata"]["name"], ["sh", "-c", script]).stdout
    ]


@dataclass(frozen=True)
class NodeFacts:
    """What of the machines of a cluster's nodes must be the same before and after, and whose switches are at work."""

    machines: dict[str, NodeTraces]
    guards: frozenset[str]

    @classmethod
    def of(cls, cluster: Cluster) -> NodeFacts:
        if not cluster.capabilities() >= NODE_CONTROL:
            return cls({}, frozenset(_guards(cluster)))
        nodes = cluster.nodes()
        machines = {
            name: nodes.traces(name) for item in cluster.api.list(NODES).items if (name := item["metadata"]["name"])
        }
        return cls(machines, frozenset(_guards(cluster)))

    def changed_by(self, after: NodeFacts) -> list[str]:
        return differences(self.machines, after.machines, (), ()) + sorted(after.guards - self.guards)


def _guards(cluster: Cluster) -> set[str]:
    """Dead-man switches of this cluster that have not ended."""
    lines = (_text(path).replace("\0", " ") for path in Path("/proc").glob("[0-9]*/cmdline"))
    return {line for line in lines if "--orphaned" in line and f"--cluster={cluster.context} " in line}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
