"""Killing containers: against a fake /proc, and the script itself in a real shell."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.resources import DEPLOYMENTS, PODS
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import ApiError, Inconclusive
from harness.experiment.fault_needs import Manifests
from harness.experiment.workload_checks import load_checked
from harness.faults.container_end import MAIN_SCRIPT
from harness.faults.container_kill import ContainerKill
from harness.faults.process_hang import ProcessHang
from harness.model.timeline import Victim
from tests.fake_world import NAMESPACE, World

TERM = 1 << (signal.SIGTERM - 1)


class Containers:
    """Every container's main process, and what its end looks like."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pid, self.ignored, self.caught = 7, 0, 0
        self.error: Exception | None = None
        self.answer: ExecResult | None = None
        self.ends: dict[str, Any] | None = {"exit_code": 137}
        self.sent: list[str] = []
        world.containers.handlers[MAIN_SCRIPT] = self

    def __call__(self, namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
        assert namespace == NAMESPACE
        if command[-1] != "0":
            self.sent.append(f"{pod}/{container} {command[-1]}")
            if self.ends is not None:
                self.world.restart_container(pod, container, **self.ends)
        if self.error and command[-1] != "0":
            raise self.error
        return self.answer or ExecResult(f"{self.pid} {self.ignored:x} {self.caught:x} podinfo\n", "", 0)


@pytest.fixture
def containers(world: World) -> Containers:
    return Containers(world)


def fault(**fields: Any) -> ContainerKill:
    return ContainerKill(**{"selector": "app=podinfo", **fields})


def inject(world: World, **fields: Any) -> tuple[tuple[Victim, ...], tuple[bool, str]]:
    context, made = world.context(), fault(**fields)
    victims = made.choose(context)
    made.inject(context, victims)
    found = made.evidence(context, victims)
    return victims, (found.proven, found.text)


def test_main_process_of_each_victim_gets_the_signal(world: World, containers: Containers) -> None:
    victims, (proven, text) = inject(world, count="all")
    assert containers.sent == [f"{victim.name}/podinfo KILL" for victim in victims]
    assert proven
    assert text.count("container podinfo ended with exit code 137 (Error), restartCount 0 → 1") == 3


@pytest.mark.parametrize(
    ("name", "process", "why"),
    [
        ("KILL", (1, 0, TERM), "the kernel shields PID 1 .* shareProcessNamespace: true"),
        ("TERM", (1, 0, 0), "has no handler for this signal"),
        ("TERM", (7, TERM, 0), "it ignores this signal"),
    ],
)
def test_signal_without_effect_is_refused_before_any_is_sent(
    world: World, containers: Containers, name: str, process: tuple[int, int, int], why: str
) -> None:
    containers.pid, containers.ignored, containers.caught = process
    with pytest.raises(Inconclusive, match=why):
        fault(signal=name).choose(world.context())
    assert containers.sent == []


@pytest.mark.parametrize(("pid", "caught"), [(1, TERM), (7, 0)])
def test_signal_with_effect_is_sent(world: World, containers: Containers, pid: int, caught: int) -> None:
    containers.pid, containers.caught, containers.ends = pid, caught, {"exit_code": 0}
    _, (proven, text) = inject(world, signal="TERM")
    assert proven
    assert "exit code 0 (Completed)" in text


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ExecResult("", "sh: not found", 127), "cannot be found: sh: not found; it needs a shell"),
        (ExecResult("", "", 1), "cannot be found: exit code 1; it needs a shell"),
        (ExecResult("7 0 0 a\n", "kill: not permitted", 1), "cannot be signalled: kill: not permitted"),
    ],
)
def test_unusable_container_is_inconclusive(world: World, containers: Containers, answer: ExecResult, why: str) -> None:
    containers.answer = answer
    with pytest.raises(Inconclusive, match=why):
        fault().choose(world.context())


def test_connection_that_ends_with_the_container_is_no_error(world: World, containers: Containers) -> None:
    containers.error = ApiError(0, "ConnectionLost", "the connection ended before the command did")
    _, (proven, _) = inject(world)
    assert proven


def test_refused_command_is_inconclusive(world: World, containers: Containers) -> None:
    containers.error, containers.ends = ApiError(403, "Forbidden", "no"), None
    with pytest.raises(Inconclusive, match="403 Forbidden"):
        inject(world)


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        (None, "has not ended, restartCount 0 → 0"),
        ({"exit_code": 1}, r"exit code 1 \(Error\), restartCount 0 → 1: not by this fault"),
    ],
)
def test_container_that_did_not_end_by_sigkill_is_no_evidence(
    world: World, containers: Containers, ends: dict[str, Any] | None, text: str
) -> None:
    containers.ends = ends
    _, (proven, found) = inject(world)
    assert not proven
    assert text.replace("\\", "") in found


def test_container_in_a_crash_loop_is_evidence_too(world: World, containers: Containers) -> None:
    containers.ends = {"exit_code": 137, "waiting": "CrashLoopBackOff"}
    _, (proven, _) = inject(world)
    assert proven


def test_container_that_ended_twice_is_evidence_too(world: World, containers: Containers) -> None:
    context, made = world.context(), fault()
    victims = made.choose(context)
    made.inject(context, victims)
    world.restart_container(victims[0].name)
    found = made.evidence(context, victims)
    assert found.proven
    assert "was restarted more than once, restartCount 0 → 2" in found.text


def test_container_that_was_restarted_before_is_not_hit(world: World, containers: Containers) -> None:
    context, made = world.context(), fault()
    victims = made.choose(context)
    world.restart_container(victims[0].name)
    with pytest.raises(Inconclusive, match="was restarted, not by this fault"):
        made.inject(context, victims)
    assert containers.sent == []


def test_container_that_is_never_restarted_is_refused(world: World, containers: Containers) -> None:
    def never(pod: dict[str, Any]) -> dict[str, Any]:
        return {**pod, "spec": {**pod["spec"], "restartPolicy": "Never"}}

    for name in world.pods():
        world.cluster.server.store.update(PODS, NAMESPACE, name, never)
    with pytest.raises(Inconclusive, match="restartPolicy Never"):
        fault().choose(world.context())
    assert containers.sent == []


def test_sidecar_is_killed_by_name(world: World, containers: Containers) -> None:
    sidecars = [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}, {"name": "init", "image": "init:1"}]
    patch = {"spec": {"template": {"spec": {"initContainers": sidecars}}}}
    world.api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE)
    (victim,) = fault(container="proxy").choose(world.context())
    assert victim.detail == "container proxy, podinfo (PID 7)"
    with pytest.raises(Inconclusive, match="has no container inti, only podinfo, proxy, init"):
        fault(container="inti").choose(world.context())


def initialize(world: World, name: str, state: str) -> None:
    """Give a pod an init container in this state: running or terminated."""
    found = {"name": "init", "restartCount": 0, "containerID": "containerd://init", "state": {state: {}}}
    changed = {"phase": "Pending" if state == "running" else "Running", "initContainerStatuses": [found]}
    declared = [{"name": "init", "image": "init:1"}]
    update = world.cluster.server.store.update
    update(PODS, NAMESPACE, name, lambda pod: {**pod, "spec": {**pod["spec"], "initContainers": declared}})
    update(PODS, NAMESPACE, name, lambda pod: {**pod, "status": {**pod["status"], **changed}}, "status")


def test_init_container_is_killed_while_it_runs(world: World, containers: Containers) -> None:
    first, *others = world.pods()
    for name in others:
        initialize(world, name, "terminated")
    initialize(world, first, "running")
    (victim,) = fault(container="init").choose(world.context())
    assert (victim.name, victim.detail) == (first, "container init, podinfo (PID 7)")


def test_init_container_that_has_ended_is_no_target(world: World, containers: Containers) -> None:
    for name in world.pods():
        initialize(world, name, "terminated")
    with pytest.raises(Inconclusive, match=r"0 found: .* is not in its init container init"):
        fault(container="init").choose(world.context())
    assert fault().choose(world.context())


def test_pending_pod_is_no_target_for_its_other_containers(world: World, containers: Containers) -> None:
    for name in world.pods():
        initialize(world, name, "running")
    with pytest.raises(Inconclusive, match=r"0 found: .* is Pending"):
        fault().choose(world.context())


def test_undo_reports_the_state_of_the_containers(world: World, containers: Containers) -> None:
    context, made = world.context(), fault()
    made.inject(context, made.choose(context))
    (entry,) = context.journal.entries
    assert ContainerKill.undo(world.cluster, entry.parameters).endswith("has ended")
    assert "nothing to undo, restarting it is up to the kubelet" in entry.description


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      %s
      containers: [{name: shop, image: shop:1}]
"""


@pytest.mark.parametrize(
    ("spec", "name", "problem"),
    [
        ("shareProcessNamespace: true", "KILL", ""),
        ("hostPID: true", "KILL", ""),
        ("hostPID: false", "TERM", ""),
        ("hostPID: false", "KILL", "SIGKILL has no effect in deployment/shop: the kernel shields PID 1"),
        ("restartPolicy: Never", "TERM", "containers of deployment/shop have restartPolicy Never"),
    ],
)
def test_manifests_show_what_cannot_work(tmp_path: Path, spec: str, name: str, problem: str) -> None:
    (tmp_path / "shop.yaml").write_text(DEPLOYMENT % spec)
    made = ContainerKill.model_validate({"selector": "app=shop", "signal": name})
    found = [text for _, text in made.needs_of(Manifests(load_checked(tmp_path)))]
    assert [text.startswith(problem) for text in found] == ([True] if problem else [])


def test_init_container_of_the_manifests_is_accepted(tmp_path: Path) -> None:
    init = "shareProcessNamespace: true\n      initContainers: [{name: migrate, image: shop:1}]"
    (tmp_path / "shop.yaml").write_text(DEPLOYMENT % init)
    workload = Manifests(load_checked(tmp_path))
    made = {
        name: ContainerKill.model_validate({"selector": "app=shop", "container": name}) for name in ("migrate", "x")
    }
    assert not list(made["migrate"].needs_of(workload))
    ((_, problem),) = made["x"].needs_of(workload)
    assert problem == "found 'x', expected one of shop, migrate of deployment/shop"
    hang = ProcessHang.model_validate({"selector": "app=shop", "container": "migrate", "process": "shop"})
    assert [text for place, text in hang.needs_of(workload) if place == ("container",)]


def test_script_finds_the_first_process_of_its_group() -> None:
    done = subprocess.run(["sh", "-c", MAIN_SCRIPT, "sh", "0"], capture_output=True, text=True, check=False)
    pid, ignored, caught, *_ = done.stdout.split()
    group = Path("/proc/self/cgroup").read_text()
    assert int(ignored, 16) >= 0
    assert int(caught, 16) >= 0
    assert Path(f"/proc/{pid}/cgroup").read_text() == group
    assert _started(int(pid)) <= _started(os.getpid())


def _started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
