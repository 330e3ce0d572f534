"""A kind cluster: where its NodePorts are dialled."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.fake.access import FakeAccess
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.images import PUBLISHED, HarnessImages, ImageOptions
from harness.cluster.kind import cluster
from harness.cluster.kind.cluster import KindCluster
from harness.cluster.kind.config import config
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import NODES
from harness.cluster.protocol import NODE_CONTROL, Address, Capability
from harness.common.errors import CapabilityMissing, ClusterBroken, InputError
from tests.unit.cluster.local.supply.image_archives import docker_archive


@pytest.fixture
def kind_cluster(fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> KindCluster:
    """One whose control plane publishes port 30000 as 31000, and whose nodes cannot be dialled."""
    monkeypatch.setattr(cluster.kind, "published_ports", lambda _name: {30000: 31000})
    monkeypatch.setattr(cluster.kind, "node_containers", lambda _name: {"mine-control-plane"})
    monkeypatch.setattr(KindCluster, "_reachable_node", lambda _self: "")
    return KindCluster(fake_cluster.api, None, "kind-mine")


def test_load_dials_the_node_if_it_is_reachable(kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A published port has a proxy of Docker's in the measured path."""
    monkeypatch.setattr(KindCluster, "_reachable_node", lambda _self: "172.18.0.2")
    assert kind_cluster.node_port(30000) == Address("172.18.0.2", 30000)
    assert kind_cluster.loopback(30000) == Address("127.0.0.1", 31000)


def test_load_otherwise_dials_the_published_port(kind_cluster: KindCluster) -> None:
    assert kind_cluster.node_port(30000) == Address("127.0.0.1", 31000)
    assert Capability.LOAD_BALANCED_SERVICE in kind_cluster.capabilities()


def test_unreachable_unpublished_port_is_a_missing_capability(kind_cluster: KindCluster) -> None:
    with pytest.raises(CapabilityMissing, match="mine cannot be dialled from this machine"):
        kind_cluster.node_port(30001)


def test_images_are_loaded_into_containers_that_are_here(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.NodeImages, "reference", lambda _self, name: f"loaded/{name}")
    monkeypatch.setattr(cluster.images, "were_built", lambda: True)
    assert kind_cluster.image("podinfo") == "loaded/podinfo"
    assert Capability.LOCAL_IMAGES in kind_cluster.capabilities()


@pytest.mark.parametrize(
    ("chosen", "before", "found"),
    [
        ("auto", True, "loaded/podinfo"),
        ("auto", False, PUBLISHED["podinfo"]),
        ("build", False, "loaded/podinfo"),
        ("published", True, PUBLISHED["podinfo"]),
    ],
)
def test_images_are_published_unless_built_before(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch, chosen: str, before: bool, found: str
) -> None:
    monkeypatch.setattr(cluster.NodeImages, "reference", lambda _self, name: f"loaded/{name}")
    monkeypatch.setattr(cluster.images, "were_built", lambda: before)
    kind_cluster.use_images(ImageOptions(harness=HarnessImages(chosen)))
    assert kind_cluster.image("podinfo") == found


def test_archives_for_remote_nodes_are_refused(kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.kind, "node_containers", lambda _name: set())
    # Not refused here, since a halt or sweep must work with any options.
    kind_cluster.use_images(ImageOptions(load=("a.tar",)))
    with pytest.raises(InputError, match=r"--load-image a.tar: the harness cannot load images into the nodes"):
        kind_cluster.image_source("shop:1")


def test_user_images_get_the_platform_of_the_nodes(
    fake_cluster: FakeCluster, kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    node = {"metadata": {"name": "mine-worker"}, "status": {"nodeInfo": {"architecture": "arm64"}}}
    fake_cluster.server.seed({"apiVersion": "v1", "kind": "Node", **node})
    archive = docker_archive(tmp_path / "a.tar", "shop:1", platform="linux/arm64")
    kind_cluster.use_images(ImageOptions(load=(str(archive),)))
    assert kind_cluster.image_source("shop:1").where == f"archive {archive}, loaded into the nodes"
    assert kind_cluster.image_source("other:1").where == "pulled by the nodes"
    fake_cluster.server.access = FakeAccess([])
    assert kind_cluster._platform().startswith("linux/")


def test_named_registry_wins_over_loading_images(kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.NodeImages, "reference", lambda _self, name: f"loaded/{name}")
    with_registry = KindCluster(kind_cluster.api, None, "kind-mine", "example.test/chaos")
    assert with_registry.image("podinfo").startswith("example.test/chaos/podinfo:")


def test_cluster_is_owned_if_its_nodes_carry_the_harness_labels(
    fake_cluster: FakeCluster, kind_cluster: KindCluster
) -> None:
    kind_cluster.api.create(NODES, {"metadata": {"name": "mine-worker"}})
    assert kind_cluster.ownership is Ownership.FOREIGN
    labels = config(1, 30000)["nodes"][0]["labels"]
    kind_cluster.api.create(NODES, {"metadata": {"name": "mine-control-plane", "labels": labels}})
    assert KindCluster(kind_cluster.api, None, "kind-mine").ownership is Ownership.OWNED
    fake_cluster.server.access = FakeAccess([])
    assert KindCluster(kind_cluster.api, None, "kind-mine").ownership is Ownership.FOREIGN


def test_cluster_with_remote_containers_has_no_ports_and_pulls(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_such_container(_name: str) -> dict[int, int]:
        raise ClusterBroken("docker inspect failed: no such object")

    monkeypatch.setattr(cluster.kind, "published_ports", no_such_container)
    monkeypatch.setattr(cluster.kind, "node_containers", lambda _name: set())
    assert not {Capability.LOAD_BALANCED_SERVICE, Capability.LOCAL_IMAGES} & kind_cluster.capabilities()
    with pytest.raises(CapabilityMissing, match="set --images"):
        kind_cluster.image("calibration")
    assert kind_cluster.image("podinfo") == PUBLISHED["podinfo"]
    with_registry = KindCluster(kind_cluster.api, None, "kind-mine", "example.test/chaos")
    assert with_registry.image("podinfo").startswith("example.test/chaos/podinfo:")


def test_without_permission_to_list_nodes_no_node_faults(fake_cluster: FakeCluster, kind_cluster: KindCluster) -> None:
    fake_cluster.server.access = FakeAccess([])
    assert not NODE_CONTROL & kind_cluster.capabilities()
    with pytest.raises(CapabilityMissing, match="no containers for the nodes of mine"):
        kind_cluster.nodes()


@pytest.mark.parametrize(
    ("containers", "able"),
    [({"mine-control-plane", "mine-worker", "other"}, True), ({"mine-control-plane"}, False), (set(), False)],
)
def test_nodes_can_be_hit_if_all_are_local_containers(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch, containers: set[str], able: bool
) -> None:
    for name in ("mine-control-plane", "mine-worker"):
        kind_cluster.api.create(NODES, {"metadata": {"name": name}})
    monkeypatch.setattr(cluster.kind, "node_containers", lambda _name: containers)
    assert (kind_cluster.capabilities() >= NODE_CONTROL) is able
    if able:
        assert kind_cluster.nodes()
    else:
        with pytest.raises(CapabilityMissing, match="no containers for the nodes of mine"):
            kind_cluster.nodes()


def test_silent_runtime_gives_no_node_control_and_a_clear_error(
    kind_cluster: KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_name: str) -> set[str]:
        raise ClusterBroken("docker ps failed: cannot connect")

    kind_cluster.api.create(NODES, {"metadata": {"name": "mine-worker"}})
    monkeypatch.setattr(cluster.kind, "node_containers", silent)
    assert not NODE_CONTROL & kind_cluster.capabilities()
    with pytest.raises(ClusterBroken, match="cannot connect"):
        kind_cluster.nodes()
