"""Rollouts of Argo Rollouts among the other workloads: their pods, and when they are complete."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.completeness import is_complete, observed_generation
from harness.cluster.kube.owners import workload_of


def pod(label: str, owner: str) -> dict[str, Any]:
    references = [{"kind": "ReplicaSet", "name": owner, "controller": True}]
    return {"metadata": {"name": f"{owner}-x", "labels": {label: "5d6c"}, "ownerReferences": references}}


@pytest.mark.parametrize(
    ("label", "owner", "workload"),
    [
        ("rollouts-pod-template-hash", "podinfo-5d6c", "rollout/podinfo"),
        ("pod-template-hash", "podinfo-5d6c", "deployment/podinfo"),
        ("rollouts-pod-template-hash", "podinfo-other", "replicaset/podinfo-other"),
    ],
)
def test_pod_belongs_to_the_workload_of_its_hash(label: str, owner: str, workload: str) -> None:
    assert workload_of(pod(label, owner)) == workload


def rollout(**status: Any) -> dict[str, Any]:
    numbers = {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
    known = {"observedGeneration": "2", "phase": "Healthy", **numbers, **status}
    return {"kind": "Rollout", "metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": known}


@pytest.mark.parametrize(
    ("status", "complete"),
    [
        ({}, True),
        ({"phase": "Paused"}, False),
        ({"phase": "Progressing"}, False),
        ({"observedGeneration": "1"}, False),
        ({"readyReplicas": 0}, False),
    ],
)
def test_rollout_is_complete_when_it_is_healthy(status: dict[str, Any], complete: bool) -> None:
    assert is_complete(rollout(**status)) is complete


@pytest.mark.parametrize(("written", "found"), [("7", 7), (7, 7), (None, None), ("5d6c9b", None)])
def test_observed_generation_may_be_text(written: Any, found: int | None) -> None:
    assert observed_generation({"status": {"observedGeneration": written}}) == found
