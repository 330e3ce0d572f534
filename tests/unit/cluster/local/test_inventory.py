"""Every program that a whole cluster consists of can be made again, by the name under which it is missed."""

from pathlib import Path

from harness.cluster.local.inventory import Inventory, expected_programs
from harness.cluster.local.namespaces import HOLDER, Namespaces
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.state import ClusterState

STATE = ClusterState("shop", 2, 0, "/binaries", "/images")


def test_expected_programs_except_holders_keep_their_name(tmp_path: Path) -> None:
    namespaces = {node.role: Namespaces(number) for number, node in enumerate(STATE.plan.nodes, 100)}
    inventory = Inventory(STATE, ClusterPaths(tmp_path), namespaces)
    wanted = [(role, name) for role, name in expected_programs(STATE.plan) if name != HOLDER]
    made = [inventory.program(role, name) for role, name in wanted]
    assert [(program.node, program.name) for program in made] == wanted
    assert all(program.cgroup == f"resilience/shop/{program.node}/system" for program in made)


def test_a_program_of_a_node_enters_that_nodes_namespaces(tmp_path: Path) -> None:
    namespaces = {node.role: Namespaces(number) for number, node in enumerate(STATE.plan.nodes, 100)}
    kubelet = Inventory(STATE, ClusterPaths(tmp_path), namespaces).program("worker-2", "kubelet")
    assert "--net=/proc/102/ns/net" in kubelet.command


def test_control_plane_runs_the_node_programs_and_more() -> None:
    programs = expected_programs(STATE.plan)
    of = {role: {name for node, name in programs if node == role} for role, _ in programs}
    assert of["worker-1"] == of["worker-2"] == {"holder", "containerd", "kubelet", "kube-proxy"}
    assert of["worker-1"] < of["control-plane"]
    assert len(programs) == len(set(programs))
