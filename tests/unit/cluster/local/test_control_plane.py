"""The control plane's settings that other parts of the harness rely on."""

import pytest

from harness.cluster.local import control_plane, gateway
from harness.cluster.local.namespaces import Namespaces
from harness.cluster.local.plan import Plan
from harness.cluster.local.processes import Program
from harness.cluster.local.state import ClusterState

PLAN = Plan.of("shop", 2)
STATE = ClusterState("shop", 2, 3, "/binaries", "/images")
HOLDER = Namespaces(4711)


def flags(program: Program) -> dict[str, str]:
    pairs = [part.removeprefix("--").split("=", 1) for part in program.command if part.startswith("--") and "=" in part]
    return {name: value for name, value in pairs if name not in {"net", "mount", "uts", "wd"}}


def test_the_api_server_gives_out_the_clusters_own_node_ports() -> None:
    given = flags(control_plane.api_server(PLAN, HOLDER, STATE))
    assert given["service-node-port-range"] == "30600-30799"


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("horizontal-pod-autoscaler-sync-period", "5s"),
        ("horizontal-pod-autoscaler-initial-readiness-delay", "5s"),
        ("node-monitor-grace-period", "20s"),
        ("leader-elect", "false"),
    ],
)
def test_controllers_have_the_short_timings(flag: str, value: str) -> None:
    assert flags(control_plane.controller_manager(PLAN, HOLDER))[flag] == value


def test_every_program_runs_in_the_node_namespaces_and_group() -> None:
    programs = [
        control_plane.etcd(PLAN, HOLDER),
        control_plane.api_server(PLAN, HOLDER, STATE),
        control_plane.controller_manager(PLAN, HOLDER),
        control_plane.scheduler(PLAN, HOLDER),
        control_plane.registry(PLAN, HOLDER),
    ]
    for program in programs:
        assert program.command[0] == "nsenter"
        assert "--net=/proc/4711/ns/net" in program.command
        assert program.cgroup == "resilience/shop/control-plane/system"
    assert len({program.name for program in programs}) == len(programs)


def test_gateway_listens_on_loopback_and_dials_from_its_node() -> None:
    text = gateway.config(PLAN, STATE)
    binds = [line.split()[1] for line in text.splitlines() if line.strip().startswith("bind")]
    assert binds == ["127.0.0.1:29953", "127.0.0.1:30600-30799"]
    servers = [line for line in text.splitlines() if line.strip().startswith("server")]
    assert servers
    assert all(line.endswith("namespace node") for line in servers)
