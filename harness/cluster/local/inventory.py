"""The programs of a cluster, and how each is started."""

from __future__ import annotations

from collections.abc import Mapping

from harness.cluster.local import cgroups, containerd, control_plane, gateway, nodes
from harness.cluster.local.namespaces import HOLDER, Namespaces
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import GATEWAY, SWITCH, Plan
from harness.cluster.local.processes import Program, Programs
from harness.cluster.local.state import ClusterState

CONTROL_PLANE_PROGRAMS = (
    control_plane.ETCD,
    control_plane.API_SERVER,
    control_plane.CONTROLLER_MANAGER,
    control_plane.SCHEDULER,
    control_plane.REGISTRY,
)
NODE_PROGRAMS = (HOLDER, containerd.NAME, nodes.KUBELET, nodes.KUBE_PROXY)


class Inventory:
    """Builds the programs of one cluster whose namespaces are open."""

    def __init__(self, state: ClusterState, paths: ClusterPaths, namespaces: Mapping[str, Namespaces]) -> None:
        self._state = state
        self._paths = paths
        self._plan = state.plan
        self._namespaces = namespaces

    def program(self, role: str, name: str) -> Program:
        """Return the program of this name on the gateway or a node. Holders are not included: they come first."""
        if role == GATEWAY:
            holder = self._namespaces[self._plan.control_plane.role].holder
            return gateway.program(self._plan, self._state, self._paths, holder)
        if name in CONTROL_PLANE_PROGRAMS:
            return self._of_control_plane(name)
        node = next(node for node in self._plan.nodes if node.role == role)
        make = {containerd.NAME: containerd.program, nodes.KUBELET: nodes.kubelet, nodes.KUBE_PROXY: nodes.kube_proxy}
        return make[name](self._plan.cluster, node, self._namespaces[role])

    def _of_control_plane(self, name: str) -> Program:
        control = self._namespaces[self._plan.control_plane.role]
        if name == control_plane.API_SERVER:
            return control_plane.api_server(self._plan, control, self._state)
        make = {
            control_plane.ETCD: control_plane.etcd,
            control_plane.CONTROLLER_MANAGER: control_plane.controller_manager,
            control_plane.SCHEDULER: control_plane.scheduler,
            control_plane.REGISTRY: control_plane.registry,
        }
        return make[name](self._plan, control)


def programs_of(name: str, paths: ClusterPaths) -> Programs:
    """Return the programs of a cluster, found by its name and folder."""
    return Programs(paths.programs, paths.logs, cgroups.group(name))


def expected_programs(plan: Plan) -> list[tuple[str, str]]:
    """Return all programs that run in a complete cluster, as (node, name)."""
    expected = [(SWITCH, HOLDER), (GATEWAY, gateway.NAME)]
    expected += [(plan.control_plane.role, name) for name in CONTROL_PLANE_PROGRAMS]
    return expected + [(node.role, name) for node in plan.nodes for name in NODE_PROGRAMS]
