"""A small shop on a fake cluster: a Deployment with its controllers, and containers with processes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.clock import FakeClock
from harness.cluster.api import KubeApi, Object
from harness.cluster.fake import FakeCluster
from harness.cluster.fake_controllers import DeploymentController, Kubelet
from harness.cluster.resources import PODS
from harness.cluster.transport import ExecResult
from harness.fault import FaultContext
from harness.faults.process_hang import _ARM, _DISARM
from harness.undo import Journal

NAMESPACE = "shop"


def deployment(name: str = "podinfo", replicas: int = 3, image: str = "podinfo:1") -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": image}]}},
        },
    }


def bare_pod(
    name: str, labels: dict[str, str] | None = None, phase: str = "Running", **metadata: Any
) -> dict[str, Any]:
    """A pod as its kubelet reports it, owned by nobody unless told."""
    spec = {"containers": [{"name": "main", "image": "main:1"}], "nodeName": "node-1"}
    whole = {"name": name, "labels": labels or {}, **metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": whole, "spec": spec, "status": {"phase": phase}}


def machine(name: str, zone: str = "zone-a", **labels: str) -> Object:
    """A node that is Ready."""
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, **labels}
    conditions = [{"type": "Ready", "status": "True"}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"conditions": conditions, "addresses": [{"type": "InternalIP", "address": f"{name}.invalid"}]},
    }


def control_plane(name: str = "control") -> Object:
    return machine(name, "zone-control", **{"node-role.kubernetes.io/control-plane": ""})


def owner(kind: str = "ReplicaSet", name: str = "podinfo-1", uid: str = "owner") -> list[dict[str, Any]]:
    return [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True}]


@dataclass
class FakeProcesses:
    """Answers the script that reads and signals processes: every container runs ``podinfo`` as the PID given here."""

    pid: int = 7
    name: str = "podinfo"
    shell: bool = True
    permitted: bool = True
    sleeps: bool = True
    stopped: set[str] = field(default_factory=set)
    armed: set[str] = field(default_factory=set)
    commands: list[tuple[str, Sequence[str]]] = field(default_factory=list)

    def __call__(self, namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
        self.commands.append((pod, command))
        if not self.shell:
            return ExecResult("", "sh: not found", 127)
        if command[2] in {_ARM, _DISARM}:
            (self.armed.add if command[2] == _ARM else self.armed.discard)(pod)
            return ExecResult("9 waits\n" if self.sleeps else "", "" if self.sleeps else "there is no sleep", 0)
        name, signal = command[-2:]
        if name != self.name:
            return ExecResult("", "", 0)
        if signal and not self.permitted:
            return ExecResult("", "sh: can't kill pid 7: Operation not permitted", 0)
        state = "T" if pod in self.stopped else "S"
        # The kernel does not deliver these two to the first process of a PID namespace.
        if signal == "STOP" and self.pid != 1:
            self.stopped.add(pod)
        if signal == "CONT":
            self.stopped.discard(pod)
        return ExecResult(f"{self.pid} {state}\n", "", 0)


@dataclass
class World:
    """The shop: three pods of ``deployment/podinfo`` in namespace ``shop``."""

    cluster: FakeCluster
    clock: FakeClock
    kubelet: Kubelet
    processes: FakeProcesses
    folder: Path

    @classmethod
    def build(cls, folder: Path) -> World:
        clock = FakeClock()
        cluster = FakeCluster(clock)
        world = cls(cluster, clock, Kubelet(), FakeProcesses(), folder)
        cluster.server.store.reactors += [world.kubelet, DeploymentController()]
        cluster.server.exec = world.processes
        cluster.server.seed(machine("node-1"), control_plane())
        cluster.server.seed(deployment(), namespace=NAMESPACE)
        return world

    @property
    def api(self) -> KubeApi:
        return self.cluster.api

    @property
    def journal_file(self) -> Path:
        return self.folder / "undo.jsonl"

    def context(self, namespace: str = NAMESPACE, seed: int = 1) -> FaultContext:
        journal = Journal(self.cluster, self.journal_file, "run1", f"{namespace}-run1", self.clock)
        return FaultContext(self.cluster, namespace, random.Random(seed), self.clock, journal)

    def pods(self, namespace: str = NAMESPACE) -> dict[str, str]:
        """The UIDs of all pods by name."""
        return {
            pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.cluster.server.store.list(PODS, namespace)
        }
