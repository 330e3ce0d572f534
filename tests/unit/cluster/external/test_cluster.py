"""Any cluster of a kubeconfig: what it can do for an identity that may see little of it."""

from __future__ import annotations

import pytest

from harness.cluster.external import cluster as kubeconfig
from harness.cluster.external.cluster import KubeconfigCluster
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.protocol import Address, Capability
from harness.common.errors import ApiError, CapabilityMissing


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that was tried; ``10.`` ones cannot be dialled."""
    tried: list[str] = []

    def dial(address: str) -> bool:
        tried.append(address)
        return not address.startswith("10.")

    monkeypatch.setattr(kubeconfig, "_dial", dial)
    return tried


def node(name: str, address: str, **labels: str) -> dict[str, object]:
    status = {"addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


def cluster_of(fake: FakeCluster, images: str = "") -> KubeconfigCluster:
    return KubeconfigCluster(fake.api, None, "somewhere", images)


def test_load_dials_a_reachable_node_control_planes_first(fake_cluster: FakeCluster, dialled: list[str]) -> None:
    role = {"node-role.kubernetes.io/control-plane": ""}
    fake_cluster.server.seed(node("a", "192.0.2.1"), node("b", "10.0.0.1", **role), node("c", "192.0.2.3", **role))
    assert cluster_of(fake_cluster).node_port(30000) == Address("192.0.2.3", 30000)
    assert dialled == ["10.0.0.1", "192.0.2.3"]


def test_without_permission_to_list_nodes_the_api_host_is_tried(
    fake_cluster: FakeCluster, dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(fake_cluster.api), "server", "https://192.0.2.9:6443")
    fake_cluster.server.fail_next(403, "Forbidden", path="/nodes")
    assert cluster_of(fake_cluster).node_port(30000) == Address("192.0.2.9", 30000)
    assert dialled == ["192.0.2.9"]


@pytest.mark.usefixtures("dialled")
def test_without_a_reachable_node_load_is_a_missing_capability(fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed(node("a", "10.0.0.1"))
    cluster = cluster_of(fake_cluster)
    assert Capability.LOAD_BALANCED_SERVICE not in cluster.capabilities()
    with pytest.raises(CapabilityMissing, match="no node address of this cluster can be dialled"):
        cluster.node_port(30000)


@pytest.mark.usefixtures("dialled")
def test_other_errors_listing_nodes_are_reported(fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(400, "BadRequest", path="/nodes")
    with pytest.raises(ApiError, match="BadRequest"):
        cluster_of(fake_cluster).node_port(30000)


@pytest.mark.usefixtures("dialled")
def test_foreign_cluster_has_no_node_control_and_registry_images(
    fake_cluster: FakeCluster,
) -> None:
    with pytest.raises(CapabilityMissing, match="does not control the node machines"):
        cluster_of(fake_cluster).nodes()
    with pytest.raises(CapabilityMissing, match="set --images"):
        cluster_of(fake_cluster).image("calibration")
    assert cluster_of(fake_cluster).image("podinfo") == "ghcr.io/stefanprodan/podinfo:6.9.2"
    assert cluster_of(fake_cluster, "example.test/chaos/").image("podinfo").startswith("example.test/chaos/podinfo:")
