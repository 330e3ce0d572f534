"""What could be left on the machines below a cluster: how each node is, line by line, and what of it differs later.

Left out is what the cluster itself changes all the time: the links of pods and whatever goes by them, the rules of
kube-proxy, of network plug-ins and of the container runtime, routes that a routing daemon owns. A native nft table is
seen by its name. Links count when they are up: a module that is loaded puts idle ones into every network.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from harness.cluster.nodes import Matters, NodeControl, NodeTraces, Trace
from harness.errors import ClusterBroken

# What runs in the network of a node, for ``parse_network``. A tool that is not there is passed over; one that fails
# fails the look, since what it did not say would seem to be gone.
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
# Files of a control group that say how much the node gets, on version 2 and on version 1.
LIMITS = (
    *("cpu.max", "cpu.weight", "memory.max", "pids.max"),
    *("cpu.cfs_quota_us", "cpu.shares", "memory.limit_in_bytes"),
)
# In the command lines of processes that the harness leaves for a while, and the programs that it runs on a node.
MARK = "resilience-deadman"
HELPERS = ("ip", "iptables", "ip6tables", "systemctl")

_LINKS_OF_PODS = ("veth", "cni", "kube-", "cali", "lxc", "cilium", "flannel", "vxlan.", "tunl", "nodelocaldns", "weave")
_RULES_OF_THE_CLUSTER = re.compile(
    r"KUBE-|CNI-|KIND-|DOCKER|127\.0\.0\.11\b|cali[-:]|CILIUM_|FLANNEL|flanneld|WEAVE|NFQUEUE"
)
_TABLES_OF_THE_CLUSTER = re.compile(r"(filter|nat|mangle|raw|security)$|kube|kindnet|cni|cilium|calico|flannel")
_LASTING = frozenset({"kernel", "boot", "static"})
_POD_UID = re.compile(r"/(?:[^/]*-)?pod([0-9a-f][0-9a-f_-]+)")


def look(nodes: NodeControl, names: Iterable[str]) -> tuple[dict[str, NodeTraces] | None, str]:
    """The machines of these nodes by name; None, and why, when one could not be looked at."""
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
    """What is damage, one sentence each, such as ``node/worker-1: route default via 198.18.0.1 dev eth0 is gone``.

    ``pod_networks`` are the CIDRs of all nodes' pods: a route to one of a node that joined comes by itself.
    ``elsewhere`` are the namespaces of other experiments, whose pods are not looked at.
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
        by_itself = trace.matters not in {change, "both"} or (change == "new" and _leads_to(trace, pod_networks))
        if not by_itself and trace.namespace not in elsewhere:
            found.append(f"{trace.text} {'was not there before' if change == 'new' else 'is gone'}")
    return found


def _leads_to(trace: Trace, networks: Collection[str]) -> bool:
    words = trace.text.split()
    return words[0] == "route" and words[1] in networks


def sections(said: str) -> dict[str, list[str]]:
    """The lines of a script's output by what stands after ``==`` above them."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in said.splitlines():
        if line.startswith("== "):
            name = line.removeprefix("== ")
        elif line.strip():
            found.setdefault(name, []).append(" ".join(line.split()))
    return found


def parse_network(said: Mapping[str, list[str]]) -> set[Trace]:
    """The lines that count in what NETWORK_SCRIPT printed, as ``sections`` gives it."""
    lines = {f"link {text}" for line in said.get("link", ()) if (text := _link(line))}
    lines |= {f"route {line}" for line in said.get("route", ()) if _is_lasting(line)}
    lines |= {f"routing rule {line}" for line in said.get("policy", ())}
    lines |= {
        f"qdisc {re.sub(r' refcnt [0-9]+', '', line).removeprefix('qdisc ')}"
        for line in said.get("qdisc", ())
        if not line.startswith("qdisc noop ") and not _is_of_pods(line)
    }
    for program in ("iptables", "ip6tables"):
        lines |= {f"{program} {rule}" for rule in _rules(said.get(program, ()))}
    lines |= {f"nft {line}" for line in said.get("nft", ()) if not _TABLES_OF_THE_CLUSTER.search(line.split()[-1])}
    return {Trace(line) for line in lines}


def _link(line: str) -> str:
    """``eth0 mtu 1500`` of a link that is up; empty for any other, and for those of pods."""
    _, name, flags, *rest = line.split()
    name = name.rstrip(":").partition("@")[0]
    up = "UP" in flags.strip("<>").split(",")
    return f"{name} mtu {rest[rest.index('mtu') + 1]}" if up and not name.startswith(_LINKS_OF_PODS) else ""


def _is_lasting(route: str) -> bool:
    words = route.split()
    owner = _after("proto", words) or "boot"
    # Link-local addresses are made from hardware addresses, and those are others after a node was switched on.
    return owner in _LASTING and not _is_of_pods(route) and not any(word.startswith("fe80:") for word in words)


def _is_of_pods(line: str) -> bool:
    return _after("dev", line.split()).startswith(_LINKS_OF_PODS)


def _after(key: str, words: list[str]) -> str:
    return words[words.index(key) + 1] if key in words[:-1] else ""


def _rules(lines: Iterable[str]) -> set[str]:
    """Rules with their table, chains that were made, and policies other than to accept, without counters."""
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
    """What a node's control group allows it."""
    return Trace(f"control group: {name} {value}")


def file_left(path: str) -> Trace:
    """A file of the harness's own."""
    return Trace(f"file {path}", "new")


def group_frozen(path: str) -> Trace:
    """A control group of the node that stands still."""
    return Trace(f"control group {path}, frozen,", "new")


def process(pid: int, name: str, group: str = "", pods: Iterable[str] = (), *, stopped: bool = False) -> Trace:
    """A process that is stopped, or else one that the harness has started.

    ``group`` is the text of its /proc/<pid>/cgroup, ``pods`` the names in /var/log/pods, which tell of which pod it is.
    """
    uid = _POD_UID.search(group)
    of = next((pod for pod in pods if uid and pod.endswith(f"_{uid[1].replace('_', '-')}")), "")
    namespace, pod, *_ = of.split("_") if of else ("", "")
    place = f" of pod {namespace}/{pod}" if of else ""
    what = "stopped" if stopped else "started by the harness"
    return Trace(f"process {pid} ({name}){place}, {what},", "new", namespace)
