"""Waiting for a cluster that starts: a program that dies ends the wait at once, with its log."""

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.completeness import is_complete
from harness.cluster.local.processes import Programs
from harness.cluster.local.readiness import Readiness
from harness.common.clock import FakeClock
from harness.common.errors import ClusterBroken


def test_a_wait_ends_with_the_first_program_that_died(tmp_path: Path) -> None:
    folder = tmp_path / "programs/control-plane"
    folder.mkdir(parents=True)
    (folder / "etcd.pid").write_text("4711")
    (folder / "etcd.exit").write_text("1")
    clock = FakeClock()
    start = clock.monotonic()
    programs = Programs(tmp_path / "programs", tmp_path / "logs", "resilience/shop")
    readiness = Readiness(programs, clock, lambda _message: None)
    with pytest.raises(ClusterBroken, match="etcd on control-plane ended with exit code 1"):
        readiness.local("the API server", lambda: False)
    assert clock.monotonic() == start


def test_timed_out_wait_names_the_target_and_the_logs(tmp_path: Path) -> None:
    said: list[str] = []
    programs = Programs(tmp_path / "programs", tmp_path / "logs", "resilience/shop")
    readiness = Readiness(programs, FakeClock(), said.append)
    with pytest.raises(ClusterBroken, match=rf"the image registry: not within 40 s.*{tmp_path}/logs"):
        readiness.local("the image registry", lambda: False, 40.0)
    assert said == ["still waiting for the image registry: not found"] * 2


def deployment(**status: int) -> dict[str, Any]:
    return {"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status}


def daemon_set(**status: int) -> dict[str, Any]:
    return {"kind": "DaemonSet", "metadata": {"generation": 1}, "spec": {}, "status": status}


def test_deployment_is_complete_if_the_current_revision_is_ready() -> None:
    assert is_complete(deployment(observedGeneration=2, updatedReplicas=1, readyReplicas=1, replicas=1))
    assert not is_complete(deployment(observedGeneration=1, updatedReplicas=1, readyReplicas=1, replicas=1))
    assert not is_complete(deployment(observedGeneration=2, updatedReplicas=1, replicas=1))
    assert not is_complete(deployment())


def test_daemon_set_is_complete_once_every_node_has_its_pod() -> None:
    every = {"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3}
    assert is_complete(daemon_set(**every, numberReady=3))
    assert not is_complete(daemon_set(**every, numberReady=2))
    assert not is_complete(daemon_set(observedGeneration=1))
