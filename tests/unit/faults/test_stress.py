"""Using up resources of pods and nodes: against a fake world, and the scripts in a real shell."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import ApiError, Inconclusive, NotYet
from harness.experiment.registry import render_fault
from harness.experiment.workload_checks.container_images import images_of_fault
from harness.faults.base import FaultContext
from harness.faults.node_stress import NodeStress
from harness.faults.pod_stress import PodStress
from harness.faults.stress import GO_SCRIPT, READ_SCRIPT, RUN_SCRIPT, STOP_SCRIPT, Counters
from harness.model.timeline import Victim
from tests.fake_world import NAMESPACE, World


def injected(world: World, **fields: Any) -> tuple[PodStress, FaultContext, tuple[Victim, ...]]:
    context, fault = world.context(), PodStress(**{"selector": "app=podinfo", "cpu": 1, **fields})
    victims = fault.choose(context)
    fault.inject(context, victims)
    return fault, context, victims


def evidence(world: World, counters: str, **fields: Any) -> tuple[bool, str]:
    world.stress.counters = counters
    fault, context, victims = injected(world, **fields)
    found = fault.evidence(context, victims)
    return found.proven, found.text


def test_arguments_name_what_is_used_up_and_for_how_long() -> None:
    fault = PodStress(selector="a=b", cpu=2, memory="64Mi", io="16M", processes=30)
    _, _, script, _, wait, *arguments = fault.stressor("stress", 12.3)["command"]
    assert (script, wait) == (RUN_SCRIPT, "90")
    text = " ".join(arguments)
    assert text.startswith("--timeout 13s --temp-path /tmp --cpu 2 --vm 1 --vm-bytes 67108864 --vm-keep --vm-hang 0")
    assert "--hdd 1 --hdd-bytes 16000000" in text
    assert text.endswith("--sleep 1 --sleep-max 30")


def test_it_is_a_container_beside_those_of_the_pod(world: World) -> None:
    _, context, (victim,) = injected(world)
    pod = world.api.get(PODS, victim.name, NAMESPACE)
    (added,) = pod["spec"]["ephemeralContainers"]
    (entry,) = context.journal.entries
    assert added["name"] == entry.parameters["container"]
    assert "resources" not in added, "the API server refuses them"
    assert added["securityContext"]["runAsNonRoot"]
    assert world.stress.running == {victim.name}


def test_two_injections_have_different_names(world: World) -> None:
    context, fault = world.context(), PodStress(selector="app=podinfo", count="all", cpu=1)
    for _ in range(2):
        fault.inject(context, fault.choose(context))
    names = [
        [each["name"] for each in world.api.get(PODS, pod, NAMESPACE)["spec"]["ephemeralContainers"]]
        for pod in world.pods()
    ]
    assert all(len(set(each)) == 2 for each in names)


@pytest.mark.parametrize(
    ("fields", "counters", "proven", "text"),
    [
        ({"cpu": 1}, "cpu-us 400000\nthrottled 7", False, "used 0.4 s of CPU time, throttled 7 times"),
        ({"cpu": 1}, "cpu-ns 2500000000", True, "used 2.5 s of CPU time"),
        ({"cpu": None, "memory": "64Mi"}, "memory 41943040\nkilled 0", False, "used at most 40 MiB of memory"),
        (
            {"cpu": None, "memory": "64Mi"},
            "memory 41943040\nkilled 2",
            True,
            "MiB of memory, killed out of memory 2 times",
        ),
        ({"cpu": None, "memory": "64Mi"}, "memory 100\nmemory 66000000", True, "used at most 63 MiB of memory"),
        ({"cpu": None, "io": "8Mi"}, "io 1000\nio 2000", False, "used 0 MiB of disk I/O"),
        ({"cpu": None, "io": "8Mi"}, "io 1000\nio 8388608", True, "used 8 MiB of disk I/O"),
        ({"cpu": None, "io": "8Mi"}, "io 0\nwritten 4194304\nwritten 4194304", True, "used 8 MiB of disk I/O"),
        ({"cpu": None, "processes": 30}, "tasks 29", False, "used 29 tasks"),
        ({"cpu": None, "processes": 30}, "tasks 36", True, "used 36 tasks"),
        ({"cpu": 1, "processes": 30}, "cpu-us 900000\ntasks 3", False, "used 0.9 s of CPU time; 3 tasks"),
        ({"cpu": 1}, "cpu-us 900000\npressure-cpu 34.20\npressure-io x", True, "(PSI, 10 s): cpu 34%"),
    ],
)
def test_counters_of_the_kernel_are_the_evidence(
    world: World, fields: dict[str, Any], counters: str, proven: bool, text: str
) -> None:
    found = evidence(world, counters, **fields)
    assert found[0] is proven
    assert text in found[1]


def test_image_without_stress_ng_is_inconclusive(world: World) -> None:
    world.stress.started = ExecResult("", "the image has no stress-ng", 1)
    with pytest.raises(Inconclusive, match="could not be started: the image has no stress-ng"):
        injected(world)


def test_image_that_cannot_be_pulled_is_inconclusive(world: World) -> None:
    world.kubelet.missing.add("no-such:image")
    with pytest.raises(Inconclusive, match="ImagePullBackOff"):
        injected(world, image="no-such:image")


def test_container_that_never_started_needs_no_undo(world: World) -> None:
    world.kubelet.missing.add("no-such:image")
    context, fault = world.context(), PodStress(selector="app=podinfo", cpu=1, image="no-such:image")
    with pytest.raises(Inconclusive):
        fault.inject(context, fault.choose(context))
    (entry,) = context.journal.entries
    assert PodStress.undo(world.cluster, entry.parameters).endswith("was not started")


def test_refused_ephemeral_container_is_inconclusive(world: World) -> None:
    world.cluster.server.fail_next(403, path="/ephemeralcontainers")
    with pytest.raises(Inconclusive, match="takes no ephemeral container: 403"):
        injected(world)


def test_undo_ends_it_and_waits_until_it_has_ended(world: World) -> None:
    _, context, (victim,) = injected(world)
    (entry,) = context.journal.entries
    world.stress.ends = False
    with pytest.raises(NotYet, match="still runs"):
        PodStress.undo(world.cluster, entry.parameters)
    world.stress.ends = True
    assert PodStress.undo(world.cluster, entry.parameters) == f"stress-ng in pod {victim.name} has ended"
    assert world.stress.running == set()


def test_existing_namespaces_are_refused() -> None:
    (need,) = PodStress(selector="a=b", cpu=1).lasting(None)  # type: ignore[arg-type]
    assert "would stay in the pod" in need[1]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "found none of cpu, memory, io and processes"),
        ({"memory": "64kb"}, "expected a quantity of bytes such as 128Mi"),
        ({"memory": "64k"}, "expected at least 1Mi"),
        ({"cpu": 0}, "greater than or equal to 1"),
        ({"cpu": True}, "valid integer"),
        ({"cpu": 1, "image": ""}, "at least 1 character"),
    ],
)
def test_wrong_parameters_are_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        PodStress(selector="a=b", **fields)


@pytest.mark.parametrize(
    ("requests", "why"), [({"gpu": "1"}, "expected cpu and memory"), ({"cpu": "much"}, "such as 500m or 128Mi")]
)
def test_wrong_requests_are_refused(requests: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        NodeStress(hosting="a=b", cpu=1, requests=requests)


def test_image_of_the_harness_is_brought_and_rendered() -> None:
    fault = PodStress.model_validate({"selector": "a=b", "cpu": 1})
    assert list(images_of_fault(fault)) == ["${image:stress-ng}"]
    rendered = render_fault(fault, lambda name: f"registry/{name}")
    assert isinstance(rendered, PodStress)
    assert rendered.image == "registry/stress-ng"


@pytest.mark.parametrize("kind", [PodStress, NodeStress])
def test_dry_run_shows_its_calls(world: World, kind: type[PodStress | NodeStress]) -> None:
    context, fault = world.context(), kind.model_validate(kind.example)
    world.cluster.server.exec = lambda _namespace, _pod, _container, command: fault.pretend(command)
    fault.inject(context, fault.choose(context))
    written = {call.path.rpartition("/")[2] for call in world.cluster.server.calls if call.writes}
    assert ("ephemeralcontainers" if kind is PodStress else "pods") in written


def test_pod_of_a_node_reserves_and_expires(world: World) -> None:
    context = world.context()
    fault = NodeStress(hosting="app=podinfo", cpu=1, requests={"cpu": "500m"})
    fault.inject(context, fault.choose(context))
    (entry,) = context.journal.entries
    spec = world.api.get(PODS, entry.parameters["pod"], NAMESPACE)["spec"]
    assert (spec["nodeName"], spec["restartPolicy"]) == ("node-1", "Never")
    assert spec["containers"][0]["resources"] == {"requests": {"cpu": "500m"}}
    assert spec["activeDeadlineSeconds"] == context.journal.ttl + 60


def test_pod_that_the_kubelet_refuses_is_inconclusive(world: World) -> None:
    class Refusing:
        def react(self, store: Any, change: Any) -> None:
            name = change.object["metadata"]["name"]
            if change.resource == PODS and name.startswith("stress-") and change.type == "ADDED":
                status = {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource: cpu"}
                store.update(PODS, change.namespace, name, lambda pod: {**pod, "status": status}, "status")

    world.cluster.server.store.reactors.insert(0, Refusing())
    context, fault = world.context(), NodeStress(hosting="app=podinfo", cpu=1)
    with pytest.raises(Inconclusive, match="OutOfcpu Node didn't have enough resource"):
        fault.inject(context, fault.choose(context))


def test_refused_pod_of_a_node_is_inconclusive(world: World) -> None:
    context, fault = world.context(), NodeStress(hosting="app=podinfo", cpu=1)
    victims = fault.choose(context)
    world.cluster.server.fail_next(403, message="exceeded quota", method="POST", path=f"/{NAMESPACE}/pods")
    with pytest.raises(Inconclusive, match="node node-1 could not be stressed: 403"):
        fault.inject(context, victims)


def test_command_that_fails_in_undo_is_tried_again(world: World) -> None:
    _, context, _ = injected(world)

    def busy(*_: object) -> ExecResult:
        raise ApiError(500, "InternalError", "no memory for a shell")

    world.containers.handlers[STOP_SCRIPT] = busy
    with pytest.raises(NotYet, match="no memory for a shell"):
        PodStress.undo(world.cluster, context.journal.entries[0].parameters)


@pytest.fixture
def stress_ng(tmp_path: Path) -> dict[str, str]:
    """An environment with a stress-ng that writes its arguments to a file, and the end that SIGTERM asked for."""
    program = tmp_path / "stress-ng"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n'
        f'trap "echo ended > {tmp_path}/end; exit" TERM\nsleep "$2" & wait\n'
    )
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def _local(script: str, folder: Path) -> str:
    """Return a script with its files in a folder of the test."""
    return script.replace("/tmp/resilience-go", f"{folder}/resilience-go")


def _until(file: Path) -> str:
    for _ in range(200):
        if file.exists() and file.read_text():
            return file.read_text().strip()
        time.sleep(0.02)
    raise AssertionError(f"{file} was not written within 4 s")


def test_script_starts_on_command_and_ends_in_order(tmp_path: Path, stress_ng: dict[str, str]) -> None:
    command = ["sh", "-c", _local(RUN_SCRIPT, tmp_path), "sh", "5", "--timeout", "30", "--cpu", "1"]
    with subprocess.Popen(command, env=stress_ng) as run:
        started = subprocess.run(
            ["sh", "-c", _local(GO_SCRIPT, tmp_path)], env=stress_ng, capture_output=True, text=True, check=False
        )
        assert started.stdout == "started\n"
        assert _until(tmp_path / "arguments") == "--timeout 30 --cpu 1"
        # Only in this test's own processes: the script itself would end those of a real run on this machine too.
        run.terminate()
        assert run.wait(5) == 0
    assert _until(tmp_path / "end") == "ended"


def test_script_that_is_not_started_ends_by_itself(tmp_path: Path, stress_ng: dict[str, str]) -> None:
    command = ["sh", "-c", _local(RUN_SCRIPT, tmp_path), "sh", "0", "--timeout", "30"]
    assert subprocess.run(command, env=stress_ng, check=False, timeout=5).returncode == 0
    assert not (tmp_path / "arguments").exists()


def test_script_names_an_image_without_stress_ng(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", _local(GO_SCRIPT, tmp_path)],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (1, "the image has no stress-ng")
    assert not (tmp_path / "resilience-go").exists()


VERSION_2 = {
    "cgroup.controllers": "cpu memory",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1\nnr_throttled 4\n",
    "memory.current": "1000",
    "memory.peak": "5000",
    "memory.events": "low 0\noom 3\noom_kill 2\noom_group_kill 0\n",
    "pids.current": "12",
    "io.stat": "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=7 dios=0\n8:16 rbytes=1 wbytes=2 rios=1 wios=2\n",
}
VERSION_1 = {
    "cpuacct/cpuacct.usage": "1500000000",
    "cpu/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 1\n",
    "memory/memory.max_usage_in_bytes": "5000",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "pids/pids.current": "12",
    "blkio/blkio.throttle.io_service_bytes": "8:0 Read 100\n8:0 Write 200\n8:0 Total 300\n8:16 Write 3\nTotal 303\n",
}


@pytest.mark.parametrize("files", [VERSION_1, VERSION_2])
def test_script_reads_both_versions_of_control_groups(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text if text.endswith("\n") else f"{text}\n")
    script = READ_SCRIPT.replace("/sys/fs/cgroup", str(tmp_path)).replace("/proc/", f"{tmp_path}/")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert Counters.parse(done.stdout) == Counters(1.5, 4, 5000, 2, 303, 12)
