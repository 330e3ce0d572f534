"""Nodes of kind against a container runtime that only remembers: what is asked of it; repeating is harmless."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.cluster.kind import nodes
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.nodes import NodeNetwork, NodePower, NodeServices
from harness.errors import ClusterBroken

NODE = "mine-worker"


class Runtime:
    """One node: its state, its rules by program, table and chain, and its services."""

    def __init__(self) -> None:
        self.state = "running"
        self.rules: list[tuple[str, ...]] = []
        self.active = {"kubelet": True, "containerd": True}
        self.calls: list[list[str]] = []
        self.routed = True

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


@pytest.mark.parametrize("protocol", [NodePower, NodeNetwork, NodeServices])
def test_kinds_nodes_can_do_all_of_it(protocol: type) -> None:
    wanted = {name for name in vars(protocol) if not name.startswith("_")}
    assert wanted
    assert wanted <= set(dir(KindNodes))


def test_power_goes_and_comes_and_a_second_time_changes_nothing(runtime: Runtime) -> None:
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


def test_a_node_in_a_state_that_is_not_known_is_told(runtime: Runtime) -> None:
    runtime.state = "dead"
    with pytest.raises(ClusterBroken, match="mine-worker is 'dead'"):
        KindNodes().power(NODE)


def test_a_node_is_cut_off_both_ways_in_both_families_and_no_rule_of_its_own_is_lost(runtime: Runtime) -> None:
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


def test_a_node_whose_link_is_not_known_is_not_cut_off_by_guess(runtime: Runtime) -> None:
    runtime.routed = False
    with pytest.raises(ClusterBroken, match="no default route"):
        KindNodes().cut_off(NODE)
    assert runtime.rules == []


def test_services_stop_and_start(runtime: Runtime) -> None:
    KindNodes().stop_service(NODE, "kubelet")
    assert not KindNodes().is_active(NODE, "kubelet")
    assert KindNodes().is_active(NODE, "containerd")
    KindNodes().start_service(NODE, "kubelet")
    assert KindNodes().is_active(NODE, "kubelet")
