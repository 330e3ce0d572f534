"""Prometheus and metrics-server for a cluster that has none, as far as it lets us."""

from __future__ import annotations

import pytest

from harness.cluster.api import Object
from harness.cluster.fake import FakeCluster
from harness.cluster.fake_access import FakeAccess
from harness.cluster.monitoring import install
from harness.cluster.resources import DEPLOYMENTS
from harness.cluster.roles import roles_for
from harness.errors import CapabilityMissing, ClusterBroken

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


def test_what_is_not_allowed_is_left_out_and_told(cluster: FakeCluster) -> None:
    cluster.server.access = FakeAccess(roles_for([], "nobody"))
    said: list[str] = []
    assert install(cluster, BOTH, cluster.clock, said.append) == set()
    assert [line.partition(" is not installed")[0] for line in said] == list(BOTH)
    assert all("Forbidden" in line or "403" in line or "cannot" in line for line in said)


def test_without_an_image_there_is_nothing_to_tell(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise CapabilityMissing(f"no image {name}")

    monkeypatch.setattr(cluster, "image", none)
    said: list[str] = []
    assert install(cluster, BOTH, cluster.clock, said.append) == set()
    assert said == []
    assert deployments(cluster) == []
