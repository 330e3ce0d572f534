"""Operators are installed where the harness made the cluster, and only if a workload needs them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import Object
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import API_SERVICES, DEPLOYMENTS
from harness.cluster.local.operators import Operator
from harness.common.errors import CapabilityMissing, ClusterBroken
from harness.pytest_plugin import operators
from harness.pytest_plugin.operators import install_operators

ROLLOUT = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
NAME = "argo-rollouts"
DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": NAME},
    "spec": {"replicas": 1, "template": {"metadata": {"labels": {}}, "spec": {"containers": []}}},
}


@pytest.fixture
def cluster(fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    metadata = {"name": "n", "labels": {"kubernetes.io/hostname": "n"}}
    fake_cluster.server.seed({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {}})
    monkeypatch.setattr(fake_cluster, "image", lambda name: f"example.test/{name}:1")
    monkeypatch.setattr(operators, "operator_objects", lambda *_: [DEPLOYMENT])
    return fake_cluster


def install(cluster: FakeCluster, *objects: Any) -> list[str]:
    said: list[str] = []
    install_operators(cluster, objects, cluster.clock, said.append)
    return said


def test_operator_is_applied_and_waited_for(cluster: FakeCluster) -> None:
    with pytest.raises(ClusterBroken, match="argo-rollouts could not be installed: the workload did not become ready"):
        install(cluster, ROLLOUT)
    assert cluster.api.get(DEPLOYMENTS, NAME, NAME)["metadata"]["name"] == NAME


def test_running_operator_is_left_alone(cluster: FakeCluster) -> None:
    status = {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1}
    cluster.server.seed({**DEPLOYMENT, "status": status}, namespace=NAME)
    cluster.server.calls.clear()
    assert install(cluster, ROLLOUT) == []
    assert {call.method for call in cluster.server.calls} == {"GET"}


def test_nothing_is_installed_for_other_workloads(cluster: FakeCluster) -> None:
    assert install(cluster, DEPLOYMENT) == []
    assert cluster.api.list(DEPLOYMENTS).items == []


def test_nothing_is_installed_in_a_foreign_cluster(cluster: FakeCluster) -> None:
    cluster.ownership = Ownership.FOREIGN
    assert install(cluster, ROLLOUT) == []
    assert cluster.api.list(DEPLOYMENTS).items == []


def test_missing_image_is_reported(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise CapabilityMissing(f"no image {name}")

    monkeypatch.setattr(cluster, "image", none)
    assert install(cluster, ROLLOUT) == ["continuing without argo-rollouts: no image argo-rollouts"]


def test_operator_with_several_programs_runs_all(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []
    hook = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}

    def objects(operator: Operator, images: dict[str, str], *_: object) -> list[Object]:
        given.append(images)
        deployments = [{**DEPLOYMENT, "metadata": {"name": name}} for name in operator.programs]
        return [*deployments, {**hook, "metadata": {"name": "hook"}, "webhooks": []}]

    monkeypatch.setattr(operators, "operator_objects", objects)
    with pytest.raises(ClusterBroken, match="did not become ready"):
        install(cluster, {"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler"})
    there = {item["metadata"]["name"] for item in cluster.api.list(DEPLOYMENTS).items}
    assert there == set(given[0]) == {"vpa-recommender", "vpa-updater", "vpa-admission-controller"}
    # Applied before the wait: a later run takes complete Deployments for a complete operator.
    assert [call.path for call in cluster.server.calls if "mutatingwebhookconfigurations" in call.path]


@pytest.mark.parametrize("available", [True, False])
def test_api_service_must_be_available(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, available: bool) -> None:
    service = {"apiVersion": API_SERVICES.group_version, "kind": "APIService", "metadata": {"name": "v1.example.test"}}
    condition = {"type": "Available", "status": str(available), "message": "no endpoints"}
    cluster.server.seed({**service, "status": {"conditions": [condition]}})
    monkeypatch.setattr(operators, "operator_objects", lambda *_: [service])
    if available:
        assert install(cluster, ROLLOUT) == ["installing argo-rollouts"]
        return
    with pytest.raises(
        ClusterBroken, match=r"apiservice/v1\.example\.test was not available within 60 s: no endpoints"
    ):
        install(cluster, ROLLOUT)
