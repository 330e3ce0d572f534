"""The links, routes and pod network that are set up, as text."""

from harness.cluster.local.network import cni_config, node_commands, route_commands, switch_commands
from harness.cluster.local.plan import Plan

PLAN = Plan.of("shop", 2)
HOLDERS = {"control-plane": 11, "worker-1": 12, "worker-2": 13}


def test_links_are_born_with_their_far_end_inside_the_node() -> None:
    """No link is ever in the machine's own namespace, not even for a moment."""
    links = [line for line in switch_commands(PLAN, HOLDERS) if "type veth" in line]
    assert [line.split()[-1] for line in links] == ["11", "12", "13"]
    assert all(" netns " in line for line in links)


def test_the_switch_reaches_the_pods_of_every_node() -> None:
    lines = switch_commands(PLAN, HOLDERS)
    for node in PLAN.nodes:
        assert f"route add {node.pod_cidr} via {node.address}" in lines


def test_node_routes_to_the_pods_of_all_other_nodes() -> None:
    node = PLAN.workers[0]
    routes = route_commands(PLAN, node)
    assert not any(node.pod_cidr in line for line in routes)
    assert all(any(other.pod_cidr in line for line in routes) for other in PLAN.nodes if other != node)


def test_the_routes_come_after_the_link_is_up() -> None:
    lines = node_commands(PLAN, PLAN.nodes[0])
    assert lines.index("link set eth0 up") < lines.index(route_commands(PLAN, PLAN.nodes[0])[0])


def test_pods_keep_their_own_address_towards_other_nodes() -> None:
    bridge = cni_config(PLAN.workers[0])["plugins"][0]
    assert bridge["ipMasq"] is False
    assert bridge["ipam"]["ranges"] == [[{"subnet": "198.18.65.0/24", "gateway": "198.18.65.1"}]]
