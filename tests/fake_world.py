"""A small shop on a fake cluster: a Deployment with its controllers, and containers with processes.

A fault that runs a command in containers needs a handler for it. For a shell script, in ``PREPARE`` of
``tests/contract/fault_examples.py``::

    def _prepare(world: World) -> None:
        world.containers.handlers[SCRIPT] = lambda namespace, pod, container, command: ExecResult("done", "", 0)

A handler may change the world, for example with ``world.restart_container(pod)``.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.controllers import EPHEMERAL, DeploymentController, Kubelet
from harness.cluster.fake.ports import HttpPort, PodRequest
from harness.cluster.fake.server import ExecHandler
from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.common.clock import FakeClock
from harness.faults.base import FaultContext
from harness.faults.process_hang import ARM_SCRIPT, DISARM_SCRIPT, SIGNAL_SCRIPT
from harness.faults.stress import GO_SCRIPT, READ_SCRIPT, STOP_SCRIPT
from harness.safety.undo.journal import Journal

NAMESPACE = "shop"
NO_SHELL = ExecResult("", "sh: not found", 127)


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
    """A running pod without a controller; ``metadata`` may give it ownerReferences."""
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


class UnknownScriptError(AssertionError):
    """A command was run in a container of the fake world, and no handler is registered for it."""


def _first(script: str) -> str:
    """Return the first line of a script, with an ellipsis if there are more."""
    line, *more = script.strip().splitlines() or [""]
    return f"{line} …" if more else line


@dataclass
class FakeContainers:
    """Runs commands in containers by their handlers, whose keys are the script of ``sh -c SCRIPT`` or a program."""

    handlers: dict[str, ExecHandler] = field(default_factory=dict)

    def __call__(self, namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
        script = command[2] if list(command[:2]) == ["sh", "-c"] else command[0]
        handler = self.handlers.get(script)
        if handler is None:
            raise UnknownScriptError(
                f"no handler for this command, run in container {container} of the fake pod {pod}: {_first(script)}\n"
                "Register one with world.containers.handlers[SCRIPT] = handler (see tests/fake_world.py)."
            )
        return handler(namespace, pod, container, command)


@dataclass
class FakeProcesses:
    """Handles the scripts of ``processHang``: every container runs ``podinfo`` as the PID given here."""

    pid: int = 7
    name: str = "podinfo"
    shell: bool = True
    permitted: bool = True
    sleeps: bool = True
    stopped: set[str] = field(default_factory=set)
    armed: set[str] = field(default_factory=set)

    @property
    def handlers(self) -> Mapping[str, ExecHandler]:
        """The handler of each script."""
        return dict.fromkeys((ARM_SCRIPT, DISARM_SCRIPT, SIGNAL_SCRIPT), self._run)

    def container_restarted(self, pod: str) -> None:
        """Forget the processes of the container before."""
        self.stopped.discard(pod)
        self.armed.discard(pod)

    def _run(self, namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
        del namespace, container
        if not self.shell:
            return NO_SHELL
        if command[2] in {ARM_SCRIPT, DISARM_SCRIPT}:
            (self.armed.add if command[2] == ARM_SCRIPT else self.armed.discard)(pod)
            return ExecResult("9 waits\n" if self.sleeps else "", "" if self.sleeps else "there is no sleep", 0)
        name, signal = command[-2:]
        if name != self.name:
            return ExecResult("", "", 0)
        if signal and not self.permitted:
            return ExecResult("", "sh: can't kill pid 7: Operation not permitted", 0)
        state = "T" if pod in self.stopped else "S"
        # The kernel does not deliver SIGSTOP to PID 1 of a PID namespace.
        if signal == "STOP" and self.pid != 1:
            self.stopped.add(pod)
        if signal == "CONT":
            self.stopped.discard(pod)
        return ExecResult(f"{self.pid} {state}\n", "", 0)


@dataclass
class FakeStress:
    """Handles the scripts of the faults that use up resources: what runs by pod, and what the kernel counts."""

    world: World
    running: set[str] = field(default_factory=set)
    started: ExecResult = field(default_factory=lambda: ExecResult("started\n", "", 0))
    counters: str = "cpu-us 2500000\nmemory 67108864\nio 4194304\ntasks 120\npressure-cpu 34.20\n"
    # Whether SIGTERM ends it.
    ends: bool = True

    def go(self, _namespace: str, pod: str, _container: str | None, _command: Sequence[str]) -> ExecResult:
        """Start stress-ng."""
        if self.started.stdout:
            self.running.add(pod)
        return self.started

    def read(self, _namespace: str, pod: str, _container: str | None, _command: Sequence[str]) -> ExecResult:
        """Return the counters of a pod."""
        return ExecResult(self.counters if pod in self.running else "", "", 0)

    def stop(self, namespace: str, pod: str, container: str | None, _command: Sequence[str]) -> ExecResult:
        """End stress-ng, and with it the container."""
        if self.ends:
            self.running.discard(pod)
            self.world.end_beside(pod, container or "", namespace)
        return ExecResult("", "", 0)

    def now(self) -> set[str]:
        """Return the pods in which stress-ng runs."""
        return self.running & set(self.world.pods())


@dataclass
class World:
    """The shop: three pods of ``deployment/podinfo`` in namespace ``shop``."""

    cluster: FakeCluster
    clock: FakeClock
    kubelet: Kubelet
    processes: FakeProcesses
    containers: FakeContainers
    folder: Path
    # The pods whose podinfo is not ready by its own switch, the requests to ports of pods, and the status of answers.
    switched: set[str] = field(default_factory=set)
    requests: list[PodRequest] = field(default_factory=list)
    status: int = 200
    stress: FakeStress = field(init=False)

    def __post_init__(self) -> None:
        self.stress = FakeStress(self)
        self.containers.handlers |= {
            GO_SCRIPT: self.stress.go,
            READ_SCRIPT: self.stress.read,
            STOP_SCRIPT: self.stress.stop,
        }

    @classmethod
    def build(cls, folder: Path) -> World:
        clock = FakeClock()
        cluster = FakeCluster(clock)
        processes = FakeProcesses()
        world = cls(cluster, clock, Kubelet(), processes, FakeContainers(dict(processes.handlers)), folder)
        cluster.server.store.reactors += [world.kubelet, DeploymentController()]
        cluster.server.exec = world.containers
        cluster.server.forward = lambda _namespace, pod, port: HttpPort(pod, port, world.switch)
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

    def switch(self, request: PodRequest) -> int:
        """Handle a request to podinfo, and return its status."""
        self.requests.append(request)
        if self.status < 400:
            (self.switched.discard if request.path == "/readyz/enable" else self.switched.add)(request.pod)
        return self.status

    def pods(self, namespace: str = NAMESPACE) -> dict[str, str]:
        """Return the UIDs of all pods by name."""
        return {
            pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self.cluster.server.store.list(PODS, namespace)
        }

    def container_states(self, namespace: str = NAMESPACE) -> dict[tuple[str, str], tuple[str, int]]:
        """Return the id and restart count of all containers by pod and container name."""
        return {
            (pod["metadata"]["name"], status["name"]): (status.get("containerID", ""), status["restartCount"])
            for pod in self.cluster.server.store.list(PODS, namespace)
            for status in (pod.get("status") or {}).get("containerStatuses") or ()
        }

    def end_beside(self, pod: str, container: str, namespace: str = NAMESPACE) -> None:
        """End an ephemeral container."""

        def end(item: Object) -> Object:
            ended = {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
            statuses = [
                {**each, **ended} if each["name"] == container else each for each in item["status"].get(EPHEMERAL) or ()
            ]
            return {**item, "status": {**item["status"], EPHEMERAL: statuses}}

        self.cluster.server.store.update(PODS, namespace, pod, end, "status")

    def restart_container(
        self,
        pod: str,
        container: str | None = None,
        *,
        exit_code: int = 137,
        waiting: str = "",
        reason: str = "",
        namespace: str = NAMESPACE,
    ) -> None:
        """Restart a container (by default the first one) in its pod, as the kubelet does after it exited.

        ``restartCount`` grows by one, ``containerID`` is a new one, and ``lastState`` has the exit code. With a reason
        in ``waiting``, such as CrashLoopBackOff, the new container is not started yet and has no id.
        """
        now = self.cluster.server.store.now()

        def restart(item: Object) -> Object:
            statuses = [dict(status) for status in item["status"]["containerStatuses"]]
            name = container or statuses[0]["name"]
            for status in statuses:
                if status["name"] == name:
                    _restart(status, exit_code, waiting, reason, now)
            return {**item, "status": {**item["status"], "containerStatuses": statuses}}

        self.cluster.server.store.update(PODS, namespace, pod, restart, "status")
        self.processes.container_restarted(pod)


def _restart(status: dict[str, Any], exit_code: int, waiting: str, reason: str, now: str) -> None:
    reason = reason or ("Error" if exit_code else "Completed")
    ended = {"exitCode": exit_code, "reason": reason, "finishedAt": now}
    before = status.get("containerID", "")
    status["lastState"] = {"terminated": {**ended, "containerID": before}}
    status["restartCount"] += 1
    if waiting:
        status |= {"state": {"waiting": {"reason": waiting}}, "ready": False}
        status.pop("containerID", None)
    else:
        status |= {
            "state": {"running": {"startedAt": now}},
            "containerID": f"{before or 'fake://new'}-{status['restartCount']}",
        }
