"""Cordoning and draining nodes: what is chosen, refused and evicted, what blocks, and how it is undone."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.resources import BUDGETS, NODES, PODS
from harness.common.errors import ClusterRefused, Inconclusive, NotYet
from harness.faults.base import Evidence, FaultContext
from harness.faults.cordon import Cordon
from harness.faults.cordoning import MARK, TAINT
from harness.faults.drain import Drain
from harness.model.timeline import Victim
from harness.safety.guard.blast import refusals
from harness.safety.guard.policy import Policy
from harness.safety.guard.safety import Safety
from tests.fake_world import NAMESPACE, World, bare_pod, machine, owner

CORDON = Cordon(hosting="app=podinfo")


def drain(**fields: Any) -> Drain:
    return Drain.model_validate({"hosting": "app=podinfo", **fields})


def node(world: World, name: str = "node-1") -> dict[str, Any]:
    return world.api.get(NODES, name)


def change(world: World, patch: dict[str, Any], name: str = "node-1") -> None:
    world.api.patch(NODES, name, patch)


def budget(world: World, allowed: int, name: str = "keep") -> None:
    status = {"disruptionsAllowed": allowed, "observedGeneration": 1, "currentHealthy": 3, "desiredHealthy": 2}
    spec = {"selector": {"matchLabels": {"app": "podinfo"}}}
    kept = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}}
    world.cluster.server.seed({**kept, "spec": spec, "status": status}, namespace=NAMESPACE)


def inject(world: World, fault: Drain | Cordon) -> tuple[FaultContext, tuple[Victim, ...], Evidence]:
    context = world.context()
    victims = fault.choose(context)
    fault.inject(context, victims)
    return context, victims, fault.evidence(context, victims)


def undo(world: World, context: FaultContext) -> list[str]:
    return [Cordon.undo(world.cluster, entry.parameters) for entry in context.journal.entries]


def refused(world: World, fault: Drain | Cordon) -> list[str]:
    victims = fault.choose(world.context())
    return refusals(world.api, NAMESPACE, [fault.strike(victims)], Policy(), Safety(), now=world.clock.wall())


def test_cordoned_node_keeps_its_pods_and_is_uncordoned(world: World) -> None:
    before = world.pods()
    context, _, found = inject(world, CORDON)
    assert (found.proven, found.text) == (True, "node-1 is cordoned")
    assert world.pods() == before
    assert undo(world, context) == ["node node-1 is schedulable"]
    assert MARK not in node(world)["metadata"].get("annotations", {})


def test_cordon_hits_no_pod_and_the_guard_allows_it(world: World) -> None:
    assert refused(world, CORDON) == []


def test_drain_of_the_last_replicas_is_refused(world: World) -> None:
    (found,) = refused(world, drain())
    assert "no healthy pod of shop/deployment/podinfo would be left" in found


def test_cordoned_node_is_no_candidate(world: World) -> None:
    change(world, {"spec": {"unschedulable": True}})
    with pytest.raises(Inconclusive, match="of which none are Ready, schedulable workers"):
        CORDON.choose(world.context())


def test_node_that_another_client_cordoned_meanwhile_is_kept(world: World) -> None:
    context = world.context()
    victims = CORDON.choose(context)
    change(world, {"spec": {"unschedulable": True}})
    with pytest.raises(Inconclusive, match="node-1 was cordoned meanwhile"):
        CORDON.inject(context, victims)
    assert undo(world, context) == ["node node-1 is cordoned, but not by this run"]
    assert node(world)["spec"]["unschedulable"]


def test_changed_node_is_read_again(world: World) -> None:
    world.cluster.server.fail_next(409, method="PATCH", path="/api/v1/nodes/")
    _, _, found = inject(world, CORDON)
    assert found.proven


def test_undo_waits_for_the_end_of_the_taint(world: World) -> None:
    context, _, _ = inject(world, CORDON)
    change(world, {"spec": {"taints": [{"key": TAINT, "effect": "NoSchedule"}]}})
    with pytest.raises(NotYet, match=TAINT):
        undo(world, context)
    change(world, {"spec": {"taints": []}})
    assert undo(world, context) == ["node node-1 is schedulable"]


def test_undo_after_an_uncordon_by_hand_removes_the_mark(world: World) -> None:
    context, victims, _ = inject(world, CORDON)
    change(world, {"spec": {"unschedulable": None}})
    assert not CORDON.evidence(context, victims).proven
    undo(world, context)
    assert MARK not in node(world)["metadata"].get("annotations", {})


def test_drain_spares_other_namespaces_and_daemon_sets(world: World) -> None:
    seed = world.cluster.server.seed
    seed(bare_pod("other", {"app": "podinfo"}, ownerReferences=owner()), namespace="neighbour")
    seed(bare_pod("agent", ownerReferences=owner("DaemonSet", "agent")), namespace=NAMESPACE)
    before = world.pods()
    _, victims, found = inject(world, drain())
    assert found.proven, found.text
    assert [victim.kind for victim in victims] == ["Node", "Pod", "Pod", "Pod"]
    assert set(before) & set(world.pods()) == {"agent"}
    assert "other" in world.pods("neighbour")


def test_drain_of_all_namespaces_spares_those_of_the_cluster(world: World) -> None:
    seed = world.cluster.server.seed
    seed(bare_pod("other", ownerReferences=owner()), namespace="neighbour")
    seed(bare_pod("dns", ownerReferences=owner()), namespace="kube-system")
    _, _, found = inject(world, drain(namespaces="all"))
    assert found.proven, found.text
    assert world.pods("neighbour") == {}
    assert set(world.pods("kube-system")) == {"dns"}


def test_pod_that_nothing_replaces_is_not_evicted(world: World) -> None:
    world.cluster.server.seed(bare_pod("alone"), namespace=NAMESPACE)
    with pytest.raises(ClusterRefused, match="pod/alone has no controller"):
        drain().choose(world.context())


def test_node_without_pods_of_the_experiment_is_inconclusive(world: World) -> None:
    world.cluster.server.seed(machine("node-2", "zone-b"))
    with pytest.raises(Inconclusive, match="no pod to evict on node-2 in namespace shop"):
        Drain(zone="zone-b").choose(world.context())


@pytest.mark.parametrize("may_block", [False, True])
def test_blocked_drain_names_the_budget(world: World, may_block: bool) -> None:
    budget(world, 1)
    began = world.clock.monotonic()
    context, _, found = inject(world, drain(timeout=20, mayBlock=may_block))
    assert found.proven is may_block
    assert found.text.count("is gone") == 1
    assert found.text.count("stays: the drain was blocked by poddisruptionbudget/keep for 20 s") == 2
    assert world.clock.monotonic() - began == pytest.approx(20)
    assert undo(world, context) == ["node node-1 is schedulable"]


def test_blocked_drain_advises_on_the_budget(world: World) -> None:
    budget(world, 0)
    _, _, found = inject(world, drain(timeout=2))
    assert found.text.count("Let the budget allow a disruption, such as maxUnavailable: 1") == 3


def test_blocked_drain_of_an_unready_pod_names_the_policy(world: World) -> None:
    budget(world, 0)
    (name, *_) = world.pods()
    world.api.patch(PODS, name, {"status": {"conditions": []}}, NAMESPACE, subresource="status")
    _, _, found = inject(world, drain(timeout=2))
    assert found.text.count("unhealthyPodEvictionPolicy: AlwaysAllow") == 1


def test_overlapping_budgets_are_refused_by_the_guard(world: World) -> None:
    budget(world, 1)
    budget(world, 1, "other")
    assert len([text for text in refused(world, drain(timeout=2)) if "let one budget select it" in text]) == 3
    assert not [text for text in refused(world, drain(timeout=2, mayBlock=True)) if "budget" in text]


@pytest.mark.parametrize("may_block", [False, True])
def test_overlapping_budgets_block_a_drain(world: World, may_block: bool) -> None:
    budget(world, 1)
    budget(world, 1, "other")
    before = world.pods()
    _, _, found = inject(world, drain(timeout=2, mayBlock=may_block))
    assert found.proven is may_block
    assert found.text.count("Let only one budget select each pod") == 3
    assert world.pods() == before


def test_eviction_is_tried_again_until_the_budget_allows_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    budget(world, 1)
    sleep = world.clock.sleep

    def allow_one_more(seconds: float) -> None:
        sleep(seconds)
        status = {"disruptionsAllowed": 1, "observedGeneration": 1}
        world.cluster.server.store.update(BUDGETS, NAMESPACE, "keep", lambda item: {**item, "status": status}, "status")

    monkeypatch.setattr(world.clock, "sleep", allow_one_more)
    _, _, found = inject(world, drain(timeout=20))
    assert found.proven, found.text


def test_pod_that_left_before_the_drain_is_inconclusive(world: World) -> None:
    context, fault = world.context(), drain()
    victims = fault.choose(context)
    world.api.delete(PODS, victims[1].name, NAMESPACE)
    with pytest.raises(Inconclusive, match="disappeared before it could be evicted"):
        fault.inject(context, victims)
    assert not (node(world).get("spec") or {}).get("unschedulable")
