"""Evicting pods, with and without a budget's consent."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.resources import PODS
from harness.common.errors import ApiError, Inconclusive
from harness.faults.base import Evidence
from harness.faults.pod_evict import PodEvict
from tests.fake_world import NAMESPACE, World


def _budget(allowed: int) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "two-of-three"},
        "spec": {"selector": {"matchLabels": {"app": "podinfo"}}},
        "status": {"disruptionsAllowed": allowed},
    }


def _evict(world: World, **fields: Any) -> Evidence:
    context = world.context()
    fault = PodEvict(selector="app=podinfo", **fields)
    victims = fault.choose(context)
    fault.inject(context, victims)
    return fault.evidence(context, victims)


def test_every_victim_is_evicted_without_a_budget(world: World) -> None:
    before = world.pods()
    evidence = _evict(world, count="all")
    assert evidence.proven
    assert not set(before) & set(world.pods())


def test_a_budget_s_refusal_is_an_outcome_and_evidence(world: World) -> None:
    world.cluster.server.seed(_budget(0), namespace=NAMESPACE)
    before = world.pods()
    evidence = _evict(world)
    assert evidence.proven
    assert "stays" in evidence.text
    assert "two-of-three" in evidence.text
    assert world.pods() == before


def test_overlapping_budgets_are_an_outcome_with_advice(world: World) -> None:
    other = _budget(1)
    other["metadata"]["name"] = "one-of-three"
    for each in (_budget(1), other):
        world.cluster.server.seed(each, namespace=NAMESPACE)
    evidence = _evict(world)
    assert evidence.proven
    assert "Let only one budget select each pod" in evidence.text


def test_budget_limits_the_number_of_evictions(world: World) -> None:
    world.cluster.server.seed(_budget(1), namespace=NAMESPACE)
    before = world.pods()
    evidence = _evict(world, count="all")
    assert evidence.proven
    assert len(set(before) & set(world.pods())) == 2
    assert evidence.text.count("stays") == 2
    assert evidence.text.count("is gone") == 1


def test_surviving_victim_without_a_budget_is_no_evidence(world: World) -> None:
    context = world.context()
    fault = PodEvict(selector="app=podinfo")
    evidence = fault.evidence(context, fault.choose(context))
    assert not evidence.proven
    assert "no budget forbids" in evidence.text


def test_too_many_requests_is_not_mistaken_for_a_budget(world: World) -> None:
    context = world.context()
    fault = PodEvict(selector="app=podinfo")
    victims = fault.choose(context)
    world.cluster.server.fail_next(429, "TooManyRequests", "slow down", path="/eviction")
    with pytest.raises(ApiError, match="slow down"):
        fault.inject(context, victims)


def test_evidence_check_evicts_no_pod(world: World) -> None:
    context = world.context()
    fault = PodEvict(selector="app=podinfo", count="all")
    victims = fault.choose(context)
    before = world.pods()
    fault.evidence(context, victims)
    assert world.pods() == before


def test_pod_that_ended_by_itself_is_no_evidence(world: World) -> None:
    context = world.context()
    fault = PodEvict(selector="app=podinfo")
    victims = fault.choose(context)
    world.api.delete(PODS, victims[0].name, NAMESPACE)
    with pytest.raises(Inconclusive, match="disappeared before it could be evicted"):
        fault.inject(context, victims)
