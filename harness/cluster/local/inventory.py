"""Which programs a cluster consists of."""

from __future__ import annotations

from harness.cluster.local import cgroups, containerd, control_plane, gateway, nodes
from harness.cluster.local.namespaces import HOLDER
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import GATEWAY, SWITCH, Plan
from harness.cluster.local.processes import Programs

CONTROL_PLANE_PROGRAMS = (
    control_plane.ETCD,
    control_plane.API_SERVER,
    control_plane.CONTROLLER_MANAGER,
    control_plane.SCHEDULER,
    control_plane.REGISTRY,
)
NODE_PROGRAMS = (HOLDER, containerd.NAME, nodes.KUBELET, nodes.KUBE_PROXY)


def programs_of(name: str, paths: ClusterPaths) -> Programs:
    """The programs of a cluster, found by its name and folder."""
    return Programs(paths.programs, paths.logs, cgroups.group(name))


def expected_programs(plan: Plan) -> list[tuple[str, str]]:
    """All programs that run in a whole cluster, as (node, name)."""
    expected = [(SWITCH, HOLDER), (GATEWAY, gateway.NAME)]
    expected += [(plan.control_plane.role, name) for name in CONTROL_PLANE_PROGRAMS]
    return expected + [(node.role, name) for node in plan.nodes for name in NODE_PROGRAMS]
