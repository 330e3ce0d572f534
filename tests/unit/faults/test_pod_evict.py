"""Evicting pods, with and without a budget's consent."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.resources import PODS
from harness.errors import ApiError, Inconclusive
from harness.fault import Evidence
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


def test_without_a_budget_every_victim_goes(world: World) -> None:
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


def test_a_budget_lets_as_many_go_as_it_allows(world: World) -> None:
    world.cluster.server.seed(_budget(1), namespace=NAMESPACE)
    before = world.pods()
    evidence = _evict(world, count="all")
    assert evidence.proven
    assert len(set(before) & set(world.pods())) == 2
    assert evidence.text.count("stays") == 2
    assert evidence.text.count("is gone") == 1


def test_a_victim_that_stays_though_no_budget_forbids_it_is_no_proof(world: World) -> None:
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


def test_looking_for_evidence_evicts_nobody(world: World) -> None:
    context = world.context()
    fault = PodEvict(selector="app=podinfo", count="all")
    victims = fault.choose(context)
    before = world.pods()
    fault.evidence(context, victims)
    assert world.pods() == before


def test_a_pod_that_left_by_itself_proves_nothing(world: World) -> None:
    context = world.context()
    fault = PodEvict(selector="app=podinfo")
    victims = fault.choose(context)
    world.api.delete(PODS, victims[0].name, NAMESPACE)
    with pytest.raises(Inconclusive, match="had left by itself"):
        fault.inject(context, victims)
