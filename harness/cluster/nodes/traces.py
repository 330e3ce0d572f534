"""Leftovers on node machines: the state of each node, line by line, and what differs later.

Ignored is what the cluster itself changes all the time: the links of pods and the routes over them, the rules of
kube-proxy, of network plug-ins and of the container runtime, and routes that a routing daemon owns. A native nft table
is compared by its name only. Links count only when they are up: some kernel modules add idle ones to every network.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from harness.cluster.nodes.control import Matters, NodeControl, NodeTraces, Trace
from harness.common.errors import ClusterBroken

# Run in the network namespace of a node, for ``parse_network``. A missing tool is skipped. A failing tool fails the
# script: an incomplete output would look as if something had disappeared.
NETWORK_SCRIPT = """
set -e
has() { command -v "$1" > /dev/null; }
v6() { [ -e /proc/net/if_inet6 ]; }
echo '== link'; ip -o link show
echo '== route'; ip -4 route show table all; if v6; then ip -6 route show table all; fi
echo '== policy'; ip -4 rule show; if v6; then ip -6 rule show; fi
if has tc; then echo '== qdisc'; tc qdisc show; fi
if has iptables-save; then echo '== iptables'; iptables-save; fi
if has ip6tables-save && v6; then echo '== ip6tables'; ip6tables-save; fi
if has nft; then echo '== nft'; nft list tables; fi
"""
# Files of a control group with the limits of the node, in version 2 and in version 1.
LIMITS = (
    *("cpu.max", "cpu.weight", "memory.max", "pids.max"),
    *("cpu.cfs_quota_us", "cpu.shares", "memory.limit_in_bytes"),
)
# MARK is in the command lines of processes that the harness starts to outlive it for a while; HELPERS are the programs
# that it runs on a node.
MARK = "resilience-deadman"
HELPERS = ("ip", "iptables", "ip6tables", "systemctl")

_LINKS_OF_PODS = ("veth", "cni", "kube-", "cali", "lxc", "cilium", "flannel", "vxlan.", "tunl", "nodelocaldns", "weave")
_RULES_OF_THE_CLUSTER = re.compile(
    r"KUBE-|CNI-|KIND-|DOCKER|127\.0\.0\.11\b|cali[-:]|CILIUM_|FLANNEL|flanneld|WEAVE|NFQUEUE"
)
_TABLES_OF_THE_CLUSTER = re.compile(r"(filter|nat|mangle|raw|security)$|kube|kindnet|cni|cilium|calico|flannel")
_LASTING = frozenset({"kernel", "boot", "static"})
# The cgroupfs driver names the group pod<UID>, systemd …-pod<UID>.slice with underscores instead of hyphens.
_POD_UID = re.compile(r"/(?:[^/]*-)?pod([0-9a-f][0-9a-f_-]+)")


def look(nodes: NodeControl, names: Iterable[str]) -> tuple[dict[str, NodeTraces] | None, str]:
    """Return the state of each node's machine by node name and an empty text, or None and the error."""
    try:
        return {name: nodes.traces(name) for name in names}, ""
    except ClusterBroken as error:
        return None, str(error)


def differences(
    before: Mapping[str, NodeTraces],
    after: Mapping[str, NodeTraces],
    pod_networks: Collection[str],
    elsewhere: Collection[str],
) -> list[str]:
    """Return the damage, one sentence each, such as ``node/worker-1: route default via 198.18.0.1 dev eth0 is gone``.

    ``pod_networks`` are the CIDRs of all nodes' pods: the cluster itself adds a route to each node that joins.
    ``elsewhere`` are the namespaces of other experiments, whose pods are ignored.
    """
    return [
        f"node/{name}: {text}"
        for name in sorted(after)
        for text in _changed(before[name], after[name], pod_networks, elsewhere)
    ]


def _changed(
    before: NodeTraces, after: NodeTraces, pod_networks: Collection[str], elsewhere: Collection[str]
) -> list[str]:
    if after.power not in {before.power, "running"}:
        return [f"{before.power} → {after.power}"]
    if not before.power == after.power == "running":
        return []
    found = [f"{service} no longer runs" for service in sorted(before.services - after.services)]
    for trace in sorted({*before.lines, *after.lines}, key=lambda trace: trace.text):
        if trace in before.lines and trace in after.lines:
            continue
        change: Matters = "new" if trace in after.lines else "gone"
        harmless = trace.matters not in {change, "both"} or (change == "new" and _leads_to(trace, pod_networks))
        if not harmless and trace.namespace not in elsewhere:
            found.append(f"{trace.text} {'was not there before' if change == 'new' else 'is gone'}")
    return found


def _leads_to(trace: Trace, networks: Collection[str]) -> bool:
    fields = trace.text.split()
    return fields[0] == "route" and fields[1] in networks


def sections(output: str) -> dict[str, list[str]]:
    """Return the lines of a script's output by the heading (``== NAME``) above them."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in output.splitlines():
        if line.startswith("== "):
            name = line.removeprefix("== ")
        elif line.strip():
            found.setdefault(name, []).append(" ".join(line.split()))
    return found


def parse_network(shown: Mapping[str, list[str]]) -> set[Trace]:
    """Return the relevant lines of the output of NETWORK_SCRIPT, given as ``sections`` of it."""
    lines = {f"link {text}" for line in shown.get("link", ()) if (text := _link(line))}
    lines |= {f"route {line}" for line in shown.get("route", ()) if _is_lasting(line)}
    lines |= {f"routing rule {line}" for line in shown.get("policy", ())}
    lines |= {
        f"qdisc {re.sub(r' refcnt [0-9]+', '', line).removeprefix('qdisc ')}"
        for line in shown.get("qdisc", ())
        # noop is the queue of a link that is down, and links count only when they are up.
        if not line.startswith("qdisc noop ") and not _is_of_pods(line)
    }
    for program in ("iptables", "ip6tables"):
        lines |= {f"{program} {rule}" for rule in _rules(shown.get(program, ()))}
    lines |= {f"nft {line}" for line in shown.get("nft", ()) if not _TABLES_OF_THE_CLUSTER.search(line.split()[-1])}
    return {Trace(line) for line in lines}


def _link(line: str) -> str:
    """Return ``eth0 mtu 1500`` for a link that is up; empty for other links and for those of pods."""
    _, name, flags, *rest = line.split()
    name = name.rstrip(":").partition("@")[0]
    up = "UP" in flags.strip("<>").split(",")
    return f"{name} mtu {rest[rest.index('mtu') + 1]}" if up and not name.startswith(_LINKS_OF_PODS) else ""


def _is_lasting(route: str) -> bool:
    fields = route.split()
    owner = _after("proto", fields) or "boot"
    # Link-local addresses derive from hardware addresses, which change when a node is switched on again.
    return owner in _LASTING and not _is_of_pods(route) and not any(word.startswith("fe80:") for word in fields)


def _is_of_pods(line: str) -> bool:
    return _after("dev", line.split()).startswith(_LINKS_OF_PODS)


def _after(key: str, fields: list[str]) -> str:
    return fields[fields.index(key) + 1] if key in fields[:-1] else ""


def _rules(lines: Iterable[str]) -> set[str]:
    """Return rules with their table, added chains, and policies other than ACCEPT, without counters."""
    found = set()
    table = ""
    for line in lines:
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A"):
            found.add(f"{table} {line}")
        elif line.startswith(":") and " ACCEPT " not in line:
            found.add(f"{table} {line.partition(' [')[0]}")
    return {rule for rule in found if not _RULES_OF_THE_CLUSTER.search(rule)}


def limit(name: str, value: str) -> Trace:
    """Return the trace of a limit in a node's control group."""
    return Trace(f"control group: {name} {value}")


def file_left(path: str) -> Trace:
    """Return the trace of a file that the harness wrote."""
    return Trace(f"file {path}", "new")


def group_frozen(path: str) -> Trace:
    """Return the trace of a frozen control group."""
    return Trace(f"control group {path}, frozen,", "new")


def process(pid: int, name: str, group: str = "", pods: Iterable[str] = (), *, stopped: bool = False) -> Trace:
    """Return the trace of a stopped process, or else of one that the harness started.

    ``group`` is the text of /proc/<pid>/cgroup and ``pods`` the names in /var/log/pods: they give the process's pod.
    """
    uid = _POD_UID.search(group)
    # The kubelet names the folders in /var/log/pods NAMESPACE_NAME_UID.
    folder = next((pod for pod in pods if uid and pod.endswith(f"_{uid[1].replace('_', '-')}")), "")
    namespace, pod, *_ = folder.split("_") if folder else ("", "")
    place = f" of pod {namespace}/{pod}" if folder else ""
    what = "stopped" if stopped else "started by the harness"
    return Trace(f"process {pid} ({name}){place}, {what},", "new", namespace)
