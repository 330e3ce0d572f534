"""Nodes of kind against a container runtime that only remembers: what is asked of it; repeating is harmless."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.cluster.kind import nodes
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.nodes.control import NodeControl, NodeNetwork, NodePower, NodeServices, NodeTraces, Trace
from harness.common.errors import ClusterBroken

NODE = "mine-worker"
UID = "0f8e3c52-90aa-4d0b-a2c7-6d1f6a1b2c3d"


class Runtime:
    """One node: its state, its rules by program, table and chain, and its services."""

    def __init__(self) -> None:
        self.state = "running"
        self.rules: list[tuple[str, ...]] = []
        self.active = {"kubelet": True, "containerd": True}
        self.calls: list[list[str]] = []
        self.routed = True
        self.shown: str | None = ""

    def run(self, command: Sequence[str], _seconds: float) -> str:
        verb, *rest = command[1:]
        self.calls.append([verb, *rest])
        if verb == "inspect":
            return f"{self.state}\n"
        if verb == "exec":
            return self._inside(rest[1:])
        self.state = {"stop": "exited", "kill": "exited", "pause": "paused"}.get(verb, "running")
        return ""

    def _inside(self, command: Sequence[str]) -> str:
        if command[0] == "systemctl":
            verb, service = command[1], command[-1]
            if verb == "show":
                return "active\n" if self.active[service] else "inactive\n"
            self.active[service] = verb == "start"
            return ""
        if command[0] == "sh":
            if self.shown is None:
                raise ClusterBroken("exec failed")
            return self.shown
        if command[0] == "ip":
            return "default via 198.18.128.1 dev eth1 \n" if self.routed else ""
        program, _, _, table, action, chain, *match = command
        if action == "-S":
            chosen = [rule for rule in self.rules if rule[:3] == (program, table, chain)]
            return "\n".join([f"-P {chain} ACCEPT", *(f"-A {chain} {' '.join(rule[3:])}" for rule in chosen)])
        rule = (program, table, chain, *match)
        if action == "-I":
            self.rules.insert(0, rule)
        else:
            self.rules.remove(rule)
        return ""


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    found = Runtime()
    monkeypatch.setattr(nodes.commands, "run", found.run)
    monkeypatch.setattr(nodes.commands, "runtime", lambda: "docker")
    return found


@pytest.mark.parametrize("protocol", [NodePower, NodeNetwork, NodeServices, NodeControl])
def test_kinds_nodes_can_do_all_of_it(protocol: type) -> None:
    wanted = {name for name in vars(protocol) if not name.startswith("_")}
    assert wanted
    assert wanted <= set(dir(KindNodes))


def test_power_off_and_on_are_idempotent(runtime: Runtime) -> None:
    for action, state in (("stop", "stopped"), ("kill", "stopped"), ("start", "running"), ("pause", "paused")):
        for _ in range(2):
            getattr(KindNodes(), action)(NODE)
            assert KindNodes().power(NODE) == state
    for _ in range(2):
        KindNodes().resume(NODE)
        assert KindNodes().power(NODE) == "running"
    assert [call[0] for call in runtime.calls].count("unpause") == 1


def test_a_stopped_node_is_not_killed_again(runtime: Runtime) -> None:
    """Docker refuses to kill what does not run."""
    runtime.state = "exited"
    KindNodes().kill(NODE)
    assert [call[0] for call in runtime.calls] == ["inspect"]


def test_unknown_node_state_is_reported(runtime: Runtime) -> None:
    runtime.state = "dead"
    with pytest.raises(ClusterBroken, match="mine-worker is 'dead'"):
        KindNodes().power(NODE)


def test_node_is_cut_off_in_both_families_and_keeps_its_rules(runtime: Runtime) -> None:
    own = ("iptables", "mangle", "POSTROUTING", "-o", "eth1", "-j", "DROP")
    mark = ("-m", "comment", "--comment", "resilience-cut-off", "-j", "DROP")
    runtime.rules.append(own)
    for _ in range(2):
        KindNodes().cut_off(NODE)
    assert KindNodes().is_cut_off(NODE)
    added = [rule for rule in runtime.rules if rule != own]
    assert len(added) == 4
    assert set(added) == {
        (program, *rule, *mark)
        for program in ("iptables", "ip6tables")
        for rule in (("raw", "PREROUTING", "-i", "eth1"), ("mangle", "POSTROUTING", "-o", "eth1"))
    }
    for _ in range(2):
        KindNodes().reconnect(NODE)
    assert not KindNodes().is_cut_off(NODE)
    assert runtime.rules == [own]


def test_node_with_an_unknown_link_is_not_cut_off(runtime: Runtime) -> None:
    runtime.routed = False
    with pytest.raises(ClusterBroken, match="no default route"):
        KindNodes().cut_off(NODE)
    assert runtime.rules == []


SHOWN = f"""\
== link
3: eth0@if9: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT
== service
active
inactive
== limit
/sys/fs/cgroup/cpu.max:max 100000
== file
/run/resilience-left
== pod
shop_web-1_{UID}
kube-system_proxy_1234
== process
stopped 7 0::/kubelet.slice/kubelet-kubepods-pod{UID.replace("-", "_")}.slice/cri-1.scope podinfo
ours 9 / ip6tables
"""


def test_node_traces_are_read_in_one_call(runtime: Runtime) -> None:
    runtime.shown = SHOWN
    seen = KindNodes().traces(NODE)
    assert [call[:4] for call in runtime.calls] == [["exec", NODE, "sh", "-c"]]
    assert (seen.power, seen.services) == ("running", {"kubelet"})
    assert seen.lines == {
        Trace("link eth0 mtu 1500"),
        Trace("control group: cpu.max max 100000"),
        Trace("file /run/resilience-left", "new"),
        Trace("process 7 (podinfo) of pod shop/web-1, stopped,", "new", "shop"),
        Trace("process 9 (ip6tables), started by the harness,", "new"),
    }


@pytest.mark.parametrize(("state", "power"), [("paused", "paused"), ("exited", "stopped")])
def test_node_without_working_exec_shows_only_its_power(runtime: Runtime, state: str, power: str) -> None:
    runtime.state, runtime.shown = state, None
    assert KindNodes().traces(NODE) == NodeTraces(power)  # type: ignore[arg-type]


def test_running_node_that_cannot_be_inspected_is_reported(runtime: Runtime) -> None:
    """What it did not say would seem to be gone."""
    runtime.shown = None
    with pytest.raises(ClusterBroken, match="exec failed"):
        KindNodes().traces(NODE)


def test_services_stop_and_start(runtime: Runtime) -> None:
    KindNodes().stop_service(NODE, "kubelet")
    assert not KindNodes().is_active(NODE, "kubelet")
    assert KindNodes().is_active(NODE, "containerd")
    KindNodes().start_service(NODE, "kubelet")
    assert KindNodes().is_active(NODE, "kubelet")
