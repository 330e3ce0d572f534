"""What containerd, kubelet and kube-proxy are told, on machines of different kinds."""

import json
import tomllib
from pathlib import Path

import pytest

from harness.cluster.local import cgroups, containerd, nodes
from harness.cluster.local.boot import node_object
from harness.cluster.local.paths import NodePaths
from harness.cluster.local.plan import Node, Plan

PLAN = Plan.of("shop", 2)
WORKER = PLAN.workers[0]
CRI = "io.containerd.grpc.v1.cri"


def containerd_config(*, may_lower: bool = True, snapshotter: str = "overlayfs") -> dict[str, object]:
    return tomllib.loads(containerd.config("resilience.local/pause:1", snapshotter, may_lower_oom_score=may_lower))


def test_containerd_gets_valid_toml_with_the_folders_of_the_node() -> None:
    config = containerd_config()
    assert config["root"] == "/var/lib/containerd"
    assert config["grpc"] == {"address": containerd.SOCKET}


@pytest.mark.parametrize("may_lower", [True, False])
def test_oom_scores_are_restricted_only_without_the_capability(may_lower: bool) -> None:
    cri = containerd_config(may_lower=may_lower)["plugins"][CRI]  # type: ignore[index]
    assert cri["restrict_oom_score_adj"] is not may_lower


def test_every_reference_uses_the_cluster_registry() -> None:
    """Any other would be asked for by a name that does not resolve, and time out instead of failing."""
    hosts = tomllib.loads(containerd.registry_hosts("198.18.0.10:5000"))
    assert hosts["server"] == "http://198.18.0.10:5000"
    assert list(hosts["host"]) == ["http://198.18.0.10:5000"]


@pytest.mark.parametrize("v1", [True, False])
def test_kubelet_accepts_cgroup_v1_only_on_cgroup_v1(v1: bool) -> None:
    config = nodes.kubelet_config("shop", WORKER, cgroup_v1=v1)
    assert config["failCgroupV1"] is not v1
    assert config["cgroupDriver"] == "cgroupfs"


def test_pods_of_a_worker_have_the_memory_of_a_small_machine() -> None:
    def reserved(node: Node, gibibytes: int) -> dict[str, str]:
        found: dict[str, str] = nodes.kubelet_config("shop", node, cgroup_v1=False, memory=gibibytes * 1024**3)[
            "systemReserved"
        ]
        return found

    assert reserved(WORKER, 8) == {"memory": str(5 * 1024**3)}
    assert reserved(WORKER, 3) == {}
    assert reserved(PLAN.control_plane, 8) == {}


def test_every_kubelet_puts_its_pods_below_its_own_group() -> None:
    roots = {nodes.kubelet_config("shop", node, cgroup_v1=False)["cgroupRoot"] for node in PLAN.nodes}
    assert roots == {"/resilience/shop/control-plane", "/resilience/shop/worker-1", "/resilience/shop/worker-2"}


def test_only_the_control_plane_is_tainted() -> None:
    for node in PLAN.nodes:
        taints = nodes.kubelet_config("shop", node, cgroup_v1=False)["registerWithTaints"]
        assert bool(taints) is node.is_control_plane
        assert node_object(node)["spec"].get("taints", []) == taints


def test_nodes_are_labelled_with_their_zone_and_role() -> None:
    labels = node_object(WORKER)["metadata"]["labels"]
    assert labels["topology.kubernetes.io/zone"] == "zone-a"
    assert "node-role.kubernetes.io/worker" in labels
    assert "node-role.kubernetes.io/control-plane" in node_object(PLAN.control_plane)["metadata"]["labels"]


def test_kube_proxy_leaves_connection_tracking_unchanged() -> None:
    assert nodes.kube_proxy_config(WORKER)["conntrack"]["maxPerCore"] == 0
    assert nodes.kube_proxy_config(WORKER)["conntrack"]["min"] == 0


MOUNTS = """\
20 1 0:18 / / rw - overlay overlay rw
21 20 8:1 / /var/lib rw - ext4 /dev/sda1 rw
"""


@pytest.mark.parametrize(
    ("folder", "expected"), [("/var/lib/resilience-harness", "overlayfs"), ("/srv/state", "native")]
)
def test_layers_are_not_stacked_on_an_unsuitable_file_system(folder: str, expected: str) -> None:
    assert nodes.snapshotter(Path(folder), MOUNTS) == expected


def test_all_node_files_are_written_where_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "is_v1", lambda: False)
    paths = NodePaths(tmp_path)
    nodes.write_files(PLAN, WORKER, paths, "resilience.local/pause:1")
    assert json.loads((paths.config / "kubelet.json").read_text())["kind"] == "KubeletConfiguration"
    assert json.loads((paths.config / "kube-proxy.json").read_text())["kind"] == "KubeProxyConfiguration"
    assert json.loads((paths.config / "cni/10-pods.conflist").read_text())["name"] == "pods"
    assert "198.18.0.10:5000" in (paths.config / "registries/_default/hosts.toml").read_text()
    tomllib.loads((paths.config / "containerd.toml").read_text())
