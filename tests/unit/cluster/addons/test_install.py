"""Prometheus and metrics-server for a cluster that has none, as far as it lets us."""

from __future__ import annotations

import pytest

from harness.cluster.addons.install import install
from harness.cluster.fake.access import FakeAccess
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import DEPLOYMENTS
from harness.cluster.kube.roles import roles_for
from harness.common.errors import CapabilityMissing, ClusterBroken

BOTH = ("metrics-server", "prometheus")


@pytest.fixture
def cluster(fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """One with a node and images."""
    metadata = {"name": "n", "labels": {"kubernetes.io/hostname": "n"}}
    fake_cluster.server.seed({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {}})
    monkeypatch.setattr(fake_cluster, "image", lambda name: f"example.test/{name}:1")
    return fake_cluster


def deployments(cluster: FakeCluster) -> list[Object]:
    return cluster.api.list(DEPLOYMENTS).items


def test_both_are_applied_before_either_is_waited_for(cluster: FakeCluster) -> None:
    """They start at the same time, and a session waits for the slower one alone."""
    with pytest.raises(ClusterBroken, match=r"metrics-server and prometheus could not be installed.*0 replicas ready"):
        install(cluster, BOTH, cluster.clock, lambda _: None)
    assert {item["metadata"]["name"] for item in deployments(cluster)} == set(BOTH)


def test_forbidden_addons_are_skipped_and_reported(cluster: FakeCluster) -> None:
    cluster.server.access = FakeAccess(roles_for([], "nobody"))
    said: list[str] = []
    assert install(cluster, BOTH, cluster.clock, said.append) == set()
    assert [line.partition(" was not installed")[0] for line in said] == list(BOTH)
    assert all("Forbidden" in line or "403" in line or "cannot" in line for line in said)


def test_missing_image_skips_the_addons_without_a_message(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: str) -> str:
        raise CapabilityMissing(f"no image {name}")

    monkeypatch.setattr(cluster, "image", none)
    said: list[str] = []
    assert install(cluster, BOTH, cluster.clock, said.append) == set()
    assert said == []
    assert deployments(cluster) == []
