"""The same engine from Python, on a real cluster: what the README shows, and what only a test with logic can ask."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from harness.cluster.kube.resources import PODS
from harness.cluster.protocol import Cluster
from harness.engine.python_experiment import PythonExperiment
from harness.faults.pod_kill import PodKill
from harness.model.timeline import Injection, Timeline
from harness.objectives.availability import Availability
from harness.objectives.recovery_time import RecoveryTime
from harness.prometheus.client import Prometheus
from harness.pytest_plugin.items import SESSION_KEY

pytestmark = pytest.mark.live

Chaos = Callable[..., AbstractContextManager[list[Injection]]]


def test_two_pods_killed_one_after_the_other(
    experiment: PythonExperiment, chaos: Chaos, cluster: Cluster, namespace: str, timeline: Timeline
) -> None:
    """Losing two of three replicas within a few seconds costs next to nothing, and both come back."""
    experiment.workload("workloads/podinfo")
    experiment.load("steady", rate="40/s", target="service/podinfo:http")
    experiment.baseline(seconds=5)
    before = {pod["metadata"]["uid"] for pod in cluster.api.list(PODS, namespace).items}
    with chaos(PodKill(selector="app=podinfo", grace_period=0), seconds=3):
        pass
    with chaos(PodKill(selector="app=podinfo", grace_period=0), seconds=3) as injections:
        victims = {victim.uid for injection in injections for victim in injection.victims}
    record = experiment.assert_objectives(
        Availability(min=0.97, phases=("fault", "recovery", "settle")),
        RecoveryTime(of="deployment/podinfo", max=20),
    )
    after = {pod["metadata"]["uid"] for pod in cluster.api.list(PODS, namespace).items}
    # The second may be the one that replaced the first, so of those that were there before one or two are gone.
    assert len(victims) == 2
    assert not victims & after
    assert before - after == victims & before
    assert len(after) == 3
    assert record.passed
    assert len(timeline.injections) == 2


@pytest.mark.usefixtures("cluster")
def test_recovery_clock_error_is_recorded_on_request(request: pytest.FixtureRequest) -> None:
    """On the cluster itself: outages of known length, of which every clock saw nearly all."""
    if not request.config.getoption("resilience_calibrate"):
        pytest.skip("run with --calibrate")
    # Not of the store: what was measured on a busy machine is used for this run alone.
    known = request.config.stash[SESSION_KEY].connect().calibration
    assert known is not None
    clocks = {error.clock: error for error in known.clocks}
    assert set(clocks) == {"user", "user, whole outage", "endpoints", "control plane"}
    assert all(error.samples >= 50 and error.longest > 15 for error in clocks.values())
    assert clocks["user"].missed + clocks["control plane"].missed <= 2


def test_prometheus_scrapes_every_second(prometheus: Prometheus) -> None:
    """Short windows need short intervals: the harness reads the real one."""
    assert prometheus.ready() is None
    assert prometheus.scrape_interval() <= 1.0
