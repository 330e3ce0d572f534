"""Load that pods generate, on a Service that only pods can reach: nothing else shows image, Job and port-forward."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import NAMESPACES, PODS
from harness.cluster.protocol import Cluster
from harness.common.naming import COMPONENT_LABEL, RUN_LABEL
from harness.engine.python_experiment import PythonExperiment
from harness.faults.pod_kill import PodKill
from harness.model.timeline import Injection
from harness.objectives.availability import Availability
from harness.objectives.recovery_time import RecoveryTime

pytestmark = pytest.mark.live

Chaos = Callable[..., AbstractContextManager[list[Injection]]]


def load_pods(api: KubeApi, experiment: PythonExperiment) -> list[tuple[str, str]]:
    """The namespace and name of each pod that generates load for this run."""
    run = experiment._run.id
    found = api.list(PODS, selector=f"{COMPONENT_LABEL}=load,{RUN_LABEL}={run}").items
    return sorted((pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in found)


def test_pods_load_a_service_that_only_pods_reach(
    experiment: PythonExperiment, chaos: Chaos, cluster: Cluster, namespace: str
) -> None:
    experiment.workload("workloads/inside")
    experiment.load("steady", rate="60/s", target="service/podinfo:http", workers=2, connectTimeout="500ms")
    pods = load_pods(cluster.api, experiment)
    assert len(pods) == 2
    assert namespace not in {place for place, _ in pods}
    labels = cluster.api.get(NAMESPACES, pods[0][0])["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    experiment.baseline(seconds=4)
    with chaos(PodKill(selector="app=podinfo", grace_period=0), seconds=3):
        pass
    record = experiment.assert_objectives(
        Availability(min=0.95, phases=("fault", "recovery", "settle")),
        RecoveryTime(of="deployment/podinfo", max=20),
    )
    assert record.passed
    assert record.load is not None
    assert record.load.achieved == sum(record.load.outcomes.values()) > 300
    assert len([note for note in record.load.notes if "the same clock" in note]) == 2
