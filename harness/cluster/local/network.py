"""The cluster's network: a bridge in the switch's namespace, a link to every node, and host routes to the pods.

The links are created in the switch's namespace with their other ends directly in the nodes: no link of a cluster ever
appears in the machine's namespace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.cluster.local.namespaces import Namespaces
from harness.cluster.local.plan import NODE_PREFIX_LENGTH, SWITCH_ADDRESS, Node, Plan
from harness.cluster.local.processes import run
from harness.cluster.nodes.control import UNANSWERED, UNANSWERED_SECONDS

BRIDGE = "nodes"
LINK = "eth0"
MTU = 1500
# Forwarding between pods and nodes; kube-proxy requires that bridged pod traffic passes the iptables rules.
NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    # Requests of pods to Services on the same node pass the bridge, and replies take another path.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    UNANSWERED: str(UNANSWERED_SECONDS),
    "net/ipv6/conf/all/disable_ipv6": "1",
}
SWITCH_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # The switch has no firewall rules, so bridged frames need not pass iptables.
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/ipv6/conf/all/disable_ipv6": "1",
    # Load generators dial from here: many connections per second, each with a separate port that stays in use a while.
    "net/ipv4/ip_local_port_range": "15000 65535",
    "net/ipv4/tcp_tw_reuse": "1",
}


def switch_commands(plan: Plan, holders: Mapping[str, int]) -> list[str]:
    """Return the ``ip -batch`` lines for the switch. ``holders`` has the holder's process id for each role."""
    lines = [
        "link set lo up",
        f"link add {BRIDGE} type bridge forward_delay 0",
        f"addr add {SWITCH_ADDRESS}/{NODE_PREFIX_LENGTH} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ]
    for node in plan.nodes:
        lines += [*cable_commands(node, holders[node.role]), f"route add {node.pod_cidr} via {node.address}"]
    return lines


def cable_commands(node: Node, holder: int) -> list[str]:
    """Return the ``ip -batch`` lines for the switch that connect a node to it."""
    return [
        f"link add {node.link} mtu {MTU} type veth peer name {LINK} mtu {MTU} netns {holder}",
        f"link set {node.link} master {BRIDGE} up",
    ]


def node_commands(plan: Plan, node: Node) -> list[str]:
    """Return the ``ip -batch`` lines for one node."""
    return [
        "link set lo up",
        f"addr add {node.address}/{NODE_PREFIX_LENGTH} dev {LINK}",
        f"link set {LINK} up",
        # After the link is up: the kernel refuses routes through a link that is down.
        *route_commands(plan, node),
    ]


def route_commands(plan: Plan, node: Node) -> list[str]:
    """Return the ``ip -batch`` lines for a node's routes, which the kernel deletes whenever its link goes down."""
    others = [other for other in plan.nodes if other.role != node.role]
    return [
        f"route replace default via {SWITCH_ADDRESS}",
        *(f"route replace {other.pod_cidr} via {other.address}" for other in others),
    ]


def connect(plan: Plan, switch: Namespaces, nodes: Mapping[str, Namespaces]) -> None:
    """Create the links and set addresses, routes and kernel settings. Raises ClusterBroken."""
    holders = {role: namespaces.holder for role, namespaces in nodes.items()}
    _batch(switch, switch_commands(plan, holders), SWITCH_SYSCTLS, "network of the switch")
    for node in plan.nodes:
        _batch(nodes[node.role], node_commands(plan, node), NODE_SYSCTLS, f"network of {node.name}")


def connect_again(plan: Plan, switch: Namespaces, node: Node, namespaces: Namespaces) -> None:
    """Connect a node with new namespaces to the switch, which still has the routes to it. Raises ClusterBroken."""
    # The kernel removes the old link with the old namespace, but only some time after its last process ended.
    run(switch.enter_network("sh", "-c", f"ip link delete {node.link} 2>/dev/null || true"), "network of the switch")
    _batch(switch, cable_commands(node, namespaces.holder), {}, "network of the switch")
    _batch(namespaces, node_commands(plan, node), NODE_SYSCTLS, f"network of {node.name}")


def _batch(namespaces: Namespaces, lines: list[str], sysctls: Mapping[str, str], what: str) -> None:
    # A kernel without IPv6 does not have all of these files.
    settings = "; ".join(
        f"[ ! -e /proc/sys/{name} ] || echo {value} > /proc/sys/{name}" for name, value in sysctls.items()
    )
    script = f"set -e; {settings or ':'}; exec ip -batch -"
    run(namespaces.enter_network("sh", "-c", script), what, stdin="".join(f"{line}\n" for line in lines))


def cni_config(node: Node) -> dict[str, Any]:
    """Return the CNI config of the node's pod network: a bridge with host-local addresses, and host ports."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        # Other nodes see the addresses of pods; kube-proxy masquerades where needed.
        "ipMasq": False,
        # Without it a pod cannot reach itself through a Service.
        "hairpinMode": True,
        "promiscMode": False,
        "mtu": MTU,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": node.pod_cidr, "gateway": node.gateway}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]}


def cni_text(node: Node) -> str:
    """Return the CNI config as the text of a ``.conflist``."""
    return json.dumps(cni_config(node), indent=2)
