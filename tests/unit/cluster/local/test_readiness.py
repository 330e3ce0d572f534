"""Waiting for a cluster that starts: a program that dies ends the wait at once, with its log."""

from pathlib import Path

import pytest

from harness.clock import FakeClock
from harness.cluster.local.processes import Programs
from harness.cluster.local.readiness import Readiness, is_complete
from harness.errors import ClusterBroken


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


def test_a_wait_that_takes_too_long_says_what_for_and_where_the_logs_are(tmp_path: Path) -> None:
    said: list[str] = []
    programs = Programs(tmp_path / "programs", tmp_path / "logs", "resilience/shop")
    readiness = Readiness(programs, FakeClock(), said.append)
    with pytest.raises(ClusterBroken, match=rf"the image registry: not within 40 s.*{tmp_path}/logs"):
        readiness.local("the image registry", lambda: False, 40.0)
    assert said == ["still waiting for the image registry: nothing there"] * 2


def deployment(**status: int) -> dict[str, object]:
    return {"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": status}


def test_a_deployment_is_complete_only_when_the_current_one_is_available() -> None:
    assert is_complete(deployment(observedGeneration=2, updatedReplicas=1, availableReplicas=1))
    assert not is_complete(deployment(observedGeneration=1, updatedReplicas=1, availableReplicas=1))
    assert not is_complete(deployment(observedGeneration=2, updatedReplicas=1))
    assert not is_complete(deployment())
