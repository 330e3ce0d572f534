"""Faults that hit whole nodes: whom they choose and refuse, when they have bitten, and what takes them back."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import LEASES, NODES, PODS
from harness.cluster.kube.transport import ExecResult
from harness.cluster.protocol import Capability
from harness.common.errors import CapabilityMissing, ClusterBroken, ClusterRefused, Inconclusive, NotYet
from harness.experiment import registry
from harness.faults.base import Fault
from harness.faults.node_cut_off import NodeCutOff
from harness.faults.node_pause import NodePause
from harness.faults.node_service import NodeService
from harness.faults.node_stop import NodeStop
from harness.safety.guard import PROTECTED_LABEL
from tests.fake_world import NAMESPACE, World, bare_pod, machine, owner

STOP = NodeStop(hosting="app=podinfo")
ALL: list[Fault] = [
    STOP,
    NodeStop(hosting="app=podinfo", mode="shutdown"),
    NodePause(hosting="app=podinfo"),
    NodeCutOff(hosting="app=podinfo"),
    NodeService(hosting="app=podinfo", service="kubelet"),
    NodeService(hosting="app=podinfo", service="containerd"),
]


def chosen(world: World, fault: Fault, seed: int = 1) -> list[str]:
    return [victim.name for victim in fault.choose(world.context(seed=seed))]


def moved(world: World, *nodes: str) -> None:
    """Put the shop's pods on these nodes, one each."""
    for pod, node in zip(sorted(world.pods()), nodes, strict=True):
        world.cluster.server.store.update(
            PODS, NAMESPACE, pod, lambda item, node=node: {**item, "spec": {**item["spec"], "nodeName": node}}
        )


@pytest.fixture
def spread(world: World) -> World:
    """The three pods on two workers, a third worker without any, one worker that is not Ready."""
    lost = machine("node-4", "zone-b")
    lost["status"]["conditions"][0]["status"] = "Unknown"
    world.cluster.server.seed(machine("node-2", "zone-b"), machine("node-3", "zone-b", disk="fast"), lost)
    moved(world, "node-1", "node-1", "node-2")
    return world


def test_only_nodes_hosting_matching_pods_are_candidates(spread: World) -> None:
    assert {chosen(spread, STOP, seed)[0] for seed in range(30)} == {"node-1", "node-2"}
    assert chosen(spread, NodeStop(hosting="app=podinfo", count="all")) == ["node-1", "node-2"]


def test_zone_labels_and_hosting_are_combined(spread: World) -> None:
    assert chosen(spread, NodeStop(zone="zone-b", count="all")) == ["node-2", "node-3"]
    assert chosen(spread, NodeStop(selector="disk=fast")) == ["node-3"]
    assert chosen(spread, NodeStop(hosting="app=podinfo", zone="zone-b", count="all")) == ["node-2"]
    with pytest.raises(Inconclusive, match=r"1 nodes wanted, 0 found: hosting app=podinfo, selector disk=fast"):
        chosen(spread, NodeStop(hosting="app=podinfo", selector="disk=fast"))


def test_unready_and_control_plane_nodes_are_skipped_with_reason(spread: World) -> None:
    with pytest.raises(Inconclusive, match=r"4 nodes wanted, 3 found: .* matches 5 .*node-4.* of which 3"):
        chosen(spread, NodeStop(selector="kubernetes.io/hostname", count=4))


def test_too_few_nodes_is_inconclusive(spread: World) -> None:
    with pytest.raises(Inconclusive, match="3 nodes wanted, 2 found"):
        chosen(spread, NodeStop(hosting="app=podinfo", count=3))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "expected at least one"),
        ({"zone": ""}, "at least 1 character"),
        ({"zone": "a", "where": ["true"]}, "without hosting"),
        ({"hosting": "app=a", "mode": "hard"}, "kill"),
        ({"hosting": "app in a"}, "label selector"),
        ({"hosting": "app=a", "alsoProtected": "yes"}, "boolean"),
    ],
)
def test_empty_or_unlimited_node_target_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NodeStop.model_validate(fields)


@pytest.mark.parametrize("labels", [{"app": "prometheus"}, {"app.kubernetes.io/name": "prometheus"}])
def test_node_running_prometheus_is_refused_unless_permitted(world: World, labels: dict[str, str]) -> None:
    world.cluster.server.seed(bare_pod("prometheus-0", labels, ownerReferences=owner()), namespace="monitoring")
    with pytest.raises(ClusterRefused, match=r"node/node-1 runs monitoring/prometheus-0.*alsoProtected: true"):
        chosen(world, STOP)
    assert chosen(world, NodeStop(hosting="app=podinfo", also_protected=True)) == ["node-1"]


def test_dns_counts_and_what_every_node_has_does_not(world: World) -> None:
    seed = world.cluster.server.seed
    seed(bare_pod("kube-proxy-1", ownerReferences=owner("DaemonSet")), namespace="kube-system")
    seed(bare_pod("job-1", phase="Succeeded", ownerReferences=owner("Job")), namespace="kube-system")
    assert chosen(world, STOP) == ["node-1"]
    seed(bare_pod("coredns-1", ownerReferences=owner()), namespace="kube-system")
    with pytest.raises(ClusterRefused, match="kube-system/coredns-1"):
        chosen(world, STOP)


def test_node_labelled_protected_is_always_refused(world: World) -> None:
    world.api.patch(NODES, "node-1", {"metadata": {"labels": {PROTECTED_LABEL: "true"}}})
    with pytest.raises(ClusterRefused, match=PROTECTED_LABEL):
        chosen(world, NodeStop(hosting="app=podinfo", also_protected=True))


def test_node_dialled_by_the_load_is_always_refused(world: World) -> None:
    def change(node: dict[str, Any]) -> dict[str, Any]:
        return {**node, "status": {**node["status"], "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}

    world.cluster.server.store.update(NODES, "", "node-1", change, "status")
    with pytest.raises(ClusterRefused, match=r"is the node that the load connects to, at 127\.0\.0\.1"):
        chosen(world, NodeStop(hosting="app=podinfo", also_protected=True))


def test_foreign_nodes_are_refused_before_any_change(world: World) -> None:
    able = set(Capability) - {Capability.NODE_POWER}
    other = World.build(world.folder / "other")
    other.cluster = FakeCluster(other.clock, capabilities=able)
    other.cluster.server = world.cluster.server
    other.cluster._api = world.cluster.api
    with pytest.raises(CapabilityMissing, match="switch nodes off and on"):
        chosen(other, STOP)


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: f"{fault.kind}-{getattr(fault, 'mode', '')}")
def test_undo_reverts_exactly_what_it_finds(world: World, fault: Fault) -> None:
    context = world.context()
    fault.inject(context, fault.choose(context))
    assert world.cluster.machines.broken == {"node-1"}
    (entry,) = context.journal.entries
    done = [registry.undo_actions()[fault.kind](world.cluster, entry.parameters) for _ in range(2)]
    assert done[0].startswith("node node-1 ")
    assert world.cluster.machines.broken == set()
    actions = [call.path for call in world.cluster.server.calls if call.method == "NODE"]
    assert len(actions) == 2, "one to break it, one to take it back, none to take it back again"


@pytest.mark.parametrize("fault", ALL[2:], ids=lambda fault: fault.kind)
def test_undo_detects_a_node_switched_off_by_another_user(world: World, fault: Fault) -> None:
    """Two faults on one node: that the other one's power is off is for the other to undo."""
    context = world.context()
    fault.inject(context, fault.choose(context))
    world.cluster.machines.kill("node-1")
    (entry,) = context.journal.entries
    assert registry.undo_actions()[fault.kind](world.cluster, entry.parameters)
    assert world.cluster.machines.power("node-1") == "stopped"


def test_failed_undo_is_retried(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    STOP.inject(context, STOP.choose(context))

    def busy(_node: str) -> None:
        raise ClusterBroken("another process is busy with the cluster")

    monkeypatch.setattr(world.cluster.machines, "start", busy)
    with pytest.raises(NotYet, match="node-1: another process is busy"):
        NodeStop.undo(world.cluster, context.journal.entries[0].parameters)


def test_an_undo_that_did_not_help_is_no_undo(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault, action in (
        (STOP, "start"),
        (ALL[2], "resume"),
        (ALL[3], "reconnect"),
        (ALL[4], "start_service"),
    ):
        context = world.context()
        fault.inject(context, fault.choose(context))
        with monkeypatch.context() as patched:
            patched.setattr(world.cluster.machines, action, lambda *_: None)
            with pytest.raises(NotYet, match=r"still|does not run"):
                registry.undo_actions()[fault.kind](world.cluster, context.journal.entries[-1].parameters)
        registry.undo_actions()[fault.kind](world.cluster, context.journal.entries[-1].parameters)


def _lease(world: World, renewed: str) -> None:
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "node-1"}}
    world.api.apply(body | {"spec": {"leaseDurationSeconds": 40, "renewTime": renewed}}, "kube-node-lease")


def _still_ready(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the first half minute of a real loss."""
    monkeypatch.setattr(world.cluster.machines, "_update_ready", lambda _node: None)


def test_lost_node_that_still_counts_as_ready_is_proven_by_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Lease is renewed every 10 s: proven when it stood still for longer, on this machine's clock."""
    _still_ready(world, monkeypatch)
    _lease(world, "2031-01-01T00:00:00.000000Z")
    context = world.context()
    fault = NodeStop(hosting="app=podinfo")
    victims = fault.choose(context)
    fault.inject(context, victims)
    assert not fault.evidence(context, victims).proven
    world.clock.advance(9.0)
    _lease(world, "2031-01-01T00:00:09.000000Z")
    assert not fault.evidence(context, victims).proven, "a last renewal was on its way"
    world.clock.advance(11.0)
    assert not fault.evidence(context, victims).proven
    world.clock.advance(2.0)
    found = fault.evidence(context, victims)
    assert found.proven
    assert "node-1 is stopped, still Ready, its Lease not renewed for 13 s" in found.text


def test_without_a_lease_only_the_condition_proves_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        _still_ready(world, patched)
        context = world.context()
        fault = NodeCutOff(hosting="app=podinfo")
        victims = fault.choose(context)
        fault.inject(context, victims)
        world.clock.advance(60.0)
        found = fault.evidence(context, victims)
        assert not found.proven
        assert "without a Lease" in found.text
    world.cluster.machines.cut_off("node-1")
    assert fault.evidence(context, victims).proven


def test_a_node_that_was_missed_but_is_back_is_no_evidence(world: World) -> None:
    """Somebody switched it on again: not what the experiment says it saw."""
    context = world.context()
    victims = STOP.choose(context)
    STOP.inject(context, victims)
    world.cluster.machines.states["node-1"] = "running"
    assert not STOP.evidence(context, victims).proven


def test_containerd_stop_is_proven_by_the_node_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _still_ready(world, monkeypatch)
    context = world.context()
    fault = NodeService(hosting="app=podinfo", service="containerd")
    victims = fault.choose(context)
    fault.inject(context, victims)
    found = fault.evidence(context, victims)
    assert (found.proven, found.text) == (True, "node-1 runs no containerd, still Ready")


def test_silent_machine_is_no_evidence_and_refusal_inconclusive(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_node: str) -> Any:
        raise ClusterBroken("docker ps took over 20 s")

    context = world.context()
    victims = STOP.choose(context)
    monkeypatch.setattr(world.cluster.machines, "power", broken)
    assert not STOP.evidence(context, victims).proven
    monkeypatch.setattr(world.cluster.machines, "kill", broken)
    with pytest.raises(Inconclusive, match="node-1 could not be hit: docker ps"):
        STOP.inject(context, victims)
    assert context.journal.entries, "what may have happened half is undone all the same"


def test_every_victim_s_undo_is_written_before_the_first_is_hit(spread: World) -> None:
    context = spread.context()
    fault = NodeStop(hosting="app=podinfo", count="all")
    fault.inject(context, fault.choose(context))
    calls = [call for call in spread.cluster.server.calls if call.writes and "leases" not in call.path]
    first = next(index for index, call in enumerate(calls) if call.method == "NODE")
    assert [entry.parameters["node"] for entry in context.journal.entries] == ["node-1", "node-2"]
    assert all(call.method == "NODE" for call in calls[first:])


def test_where_selects_the_node_of_the_matching_pod(spread: World) -> None:
    target = sorted(spread.pods())[2]

    def answer(_namespace: str, pod: str, _container: str | None, _command: object) -> Any:
        return ExecResult("", "", 0 if pod == target else 1)

    spread.cluster.server.exec = answer
    assert chosen(spread, NodeStop(hosting="app=podinfo", where=["am-i-the-leader"], count="all")) == ["node-2"]


def test_leases_of_other_namespaces_are_not_the_nodes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _still_ready(world, monkeypatch)
    body = {"apiVersion": LEASES.group_version, "kind": "Lease", "metadata": {"name": "node-1"}, "spec": {}}
    world.api.apply(body, NAMESPACE)
    context = world.context()
    fault = NodePause(hosting="app=podinfo")
    victims = fault.choose(context)
    fault.inject(context, victims)
    assert "without a Lease" in fault.evidence(context, victims).text
