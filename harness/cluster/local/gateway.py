"""The access from the machine: HAProxy listens on 127.0.0.1 and dials from the control plane's network namespace.

It forwards the API server's port and the cluster's range of nodePorts. Load generators do not use it: they run in the
switch's network namespace.
"""

from __future__ import annotations

from harness.cluster.local.cgroups import group
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import API_PORT, GATEWAY, Plan
from harness.cluster.local.processes import Program
from harness.cluster.local.state import LOOPBACK, ClusterState

NAME = "haproxy"
NAMESPACE = "node"

# HAProxy finds namespaces only by their names in /run/netns, so it runs with a private /run that contains this name.
# $1 folder of the gateway, $2 the control plane's holder.
SETUP = """
set -e
mount -t tmpfs -o mode=755 run "$1/run"
mkdir "$1/run/netns" "$1/run/gateway"
: > "$1/run/netns/node"
mount --bind "/proc/$2/ns/net" "$1/run/netns/node"
mount --bind "$1/config" "$1/run/gateway"
mount --no-mtab --move "$1/run" /run
exec haproxy -W -db -f /run/gateway/haproxy.cfg
"""


def config(plan: Plan, state: ClusterState) -> str:
    """Return the text of ``haproxy.cfg``."""
    low, high = state.node_ports
    address = plan.control_plane.address
    return f"""global
    maxconn 4000
    nbthread 1

defaults
    mode tcp
    timeout connect 5s
    # Watches and execs may be idle for a long time.
    timeout client 24h
    timeout server 24h
    retries 0

listen api
    bind {LOOPBACK}:{state.api_port}
    server control-plane {address}:{API_PORT} namespace {NAMESPACE}

listen node-ports
    bind {LOOPBACK}:{low}-{high}
    server control-plane {address} namespace {NAMESPACE}
"""


def program(plan: Plan, state: ClusterState, paths: ClusterPaths, holder: int) -> Program:
    """Write the gateway's configuration and return its program."""
    for folder in ("run", "config"):
        (paths.gateway / folder).mkdir(parents=True, exist_ok=True)
    (paths.gateway / "config/haproxy.cfg").write_text(config(plan, state))
    setup = ("sh", "-c", SETUP, "sh", str(paths.gateway), str(holder))
    command = ("unshare", "--mount", "--propagation", "private", *setup)
    return Program(GATEWAY, NAME, command, group(plan.cluster, GATEWAY, "system"))
