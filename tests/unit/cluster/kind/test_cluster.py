"""A kind cluster: where its NodePorts are dialled."""

from __future__ import annotations

import pytest

from harness.cluster.fake import FakeCluster
from harness.cluster.fake_access import FakeAccess
from harness.cluster.kind import cluster
from harness.cluster.kind.cluster import KindCluster
from harness.cluster.kind.config import config
from harness.cluster.protocol import NODE_CONTROL, Address, Capability
from harness.cluster.resources import NODES
from harness.errors import CapabilityMissing, ClusterBroken


@pytest.fixture
def kind_cluster(fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> KindCluster:
    """One whose control plane publishes port 30000 as 31000, and whose nodes cannot be dialled."""
    monkeypatch.setattr(cluster.kind, "published_ports", lambda _name: {30000: 31000})
    monkeypatch.setattr(cluster.kind, "node_containers", lambda _name: {"mine-control-plane"})
    monkeypatch.setattr(KindCluster, "_reachable_node", lambda _self: "")
    return KindCluster(fake_cluster.api, None, "kind-mine")


def test_load_goes_to_the_node_itself_where_it_can_be_dialled(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published port has a proxy of Docker's in the measured path."""
    monkeypatch.setattr(KindCluster, "_reachable_node", lambda _self: "172.18.0.2")
    assert kind_cluster.node_port(30000) == Address("172.18.0.2", 30000)
    assert kind_cluster.loopback(30000) == Address("127.0.0.1", 31000)


def test_else_load_goes_where_the_port_is_published(kind_cluster: KindCluster) -> None:
    assert kind_cluster.node_port(30000) == Address("127.0.0.1", 31000)
    assert Capability.LOAD_BALANCED_SERVICE in kind_cluster.capabilities()


def test_a_port_that_is_neither_is_a_missing_capability(kind_cluster: KindCluster) -> None:
    with pytest.raises(CapabilityMissing, match="mine cannot be dialled from here"):
        kind_cluster.node_port(30001)


def test_images_are_loaded_into_containers_that_are_here(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.NodeImages, "reference", lambda _self, name: f"loaded/{name}")
    assert kind_cluster.image("podinfo") == "loaded/podinfo"
    assert Capability.LOCAL_IMAGES in kind_cluster.capabilities()


def test_a_registry_that_was_named_is_meant_also_where_images_could_be_loaded(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.NodeImages, "reference", lambda _self, name: f"loaded/{name}")
    with_registry = KindCluster(kind_cluster.api, None, "kind-mine", "example.test/chaos")
    assert with_registry.image("podinfo").startswith("example.test/chaos/podinfo:")


def test_a_cluster_is_known_as_the_harnesss_by_what_it_was_made_with(
    fake_cluster: FakeCluster, kind_cluster: KindCluster
) -> None:
    kind_cluster.api.create(NODES, {"metadata": {"name": "mine-worker"}})
    assert not kind_cluster.is_ours
    labels = config(1, 30000)["nodes"][0]["labels"]
    kind_cluster.api.create(NODES, {"metadata": {"name": "mine-control-plane", "labels": labels}})
    assert KindCluster(kind_cluster.api, None, "kind-mine").is_ours
    fake_cluster.server.access = FakeAccess([])
    assert not KindCluster(kind_cluster.api, None, "kind-mine").is_ours


def test_a_cluster_whose_containers_are_elsewhere_publishes_nothing_and_pulls_its_images(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_such_container(_name: str) -> dict[int, int]:
        raise ClusterBroken("docker inspect failed: no such object")

    monkeypatch.setattr(cluster.kind, "published_ports", no_such_container)
    monkeypatch.setattr(cluster.kind, "node_containers", lambda _name: set())
    assert not {Capability.LOAD_BALANCED_SERVICE, Capability.LOCAL_IMAGES} & kind_cluster.capabilities()
    with pytest.raises(CapabilityMissing, match="name it with --images"):
        kind_cluster.image("podinfo")
    with_registry = KindCluster(kind_cluster.api, None, "kind-mine", "example.test/chaos")
    assert with_registry.image("podinfo").startswith("example.test/chaos/podinfo:")


def test_whoever_may_not_list_nodes_may_not_hurt_them(fake_cluster: FakeCluster, kind_cluster: KindCluster) -> None:
    fake_cluster.server.access = FakeAccess([])
    assert not NODE_CONTROL & kind_cluster.capabilities()
    with pytest.raises(CapabilityMissing, match="containers of the nodes of mine"):
        kind_cluster.nodes()


@pytest.mark.parametrize(
    ("containers", "able"),
    [({"mine-control-plane", "mine-worker", "other"}, True), ({"mine-control-plane"}, False), (set(), False)],
)
def test_nodes_can_be_hurt_where_every_one_of_them_is_a_container_here(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch, containers: set[str], able: bool
) -> None:
    for name in ("mine-control-plane", "mine-worker"):
        kind_cluster.api.create(NODES, {"metadata": {"name": name}})
    monkeypatch.setattr(cluster.kind, "node_containers", lambda _name: containers)
    assert (kind_cluster.capabilities() >= NODE_CONTROL) is able
    if able:
        assert kind_cluster.nodes()
    else:
        with pytest.raises(CapabilityMissing, match="containers of the nodes of mine"):
            kind_cluster.nodes()


def test_a_runtime_that_does_not_answer_is_no_capability_and_said_when_nodes_are_asked_for(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_name: str) -> set[str]:
        raise ClusterBroken("docker ps failed: cannot connect")

    kind_cluster.api.create(NODES, {"metadata": {"name": "mine-worker"}})
    monkeypatch.setattr(cluster.kind, "node_containers", silent)
    assert not NODE_CONTROL & kind_cluster.capabilities()
    with pytest.raises(ClusterBroken, match="cannot connect"):
        kind_cluster.nodes()
