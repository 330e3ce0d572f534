"""Setting replicas, and setting them back unless another client has."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.cluster.kube.resources import DEPLOYMENTS, STATEFUL_SETS
from harness.common.errors import ApiError, Inconclusive
from harness.faults.scale import Scale
from tests.fake_world import NAMESPACE, World


def _replicas(world: World) -> int:
    return int(world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["spec"]["replicas"])


def _set(world: World, replicas: int) -> None:
    world.api.patch(DEPLOYMENTS, "podinfo", {"spec": {"replicas": replicas}}, NAMESPACE)


def _inject(world: World, replicas: int) -> dict[str, Any]:
    context = world.context()
    fault = Scale(of="deployment/podinfo", replicas=replicas)
    fault.inject(context, fault.choose(context))
    return context.journal.entries[0].parameters


@pytest.mark.parametrize("replicas", [0, 1, 5])
def test_replicas_are_set_and_set_back(world: World, replicas: int) -> None:
    parameters = _inject(world, replicas)
    assert (_replicas(world), len(world.pods())) == (replicas, replicas)
    assert Scale.undo(world.cluster, parameters) == "deployment/podinfo has its 3 replicas again"
    assert (_replicas(world), len(world.pods())) == (3, 3)


def test_scaling_to_the_current_number_is_inconclusive(world: World) -> None:
    with pytest.raises(Inconclusive, match="no-op: deployment/podinfo already has 3 replicas"):
        Scale(of="deployment/podinfo", replicas=3).choose(world.context())


def test_replica_count_set_by_another_user_stays(world: World) -> None:
    parameters = _inject(world, 1)
    _set(world, 7)
    said = Scale.undo(world.cluster, parameters)
    assert "changed by another client since" in said
    assert _replicas(world) == 7


def test_late_undo_keeps_the_number_of_another_user(world: World) -> None:
    """The other writes after the undo has looked and before it writes."""
    parameters = _inject(world, 1)
    page = world.cluster.server.store
    original = page.update
    calls: list[str] = []

    def slow(*args: Any, **kwargs: Any) -> Any:
        if not calls:
            calls.append("once")
            original(DEPLOYMENTS, NAMESPACE, "podinfo", lambda item: {**item, "spec": {**item["spec"], "replicas": 9}})
        return original(*args, **kwargs)

    page.update = slow  # type: ignore[method-assign]
    assert "another client" in Scale.undo(world.cluster, parameters)
    assert _replicas(world) == 9


def test_a_change_between_choice_and_effect_is_inconclusive(world: World) -> None:
    context = world.context()
    fault = Scale(of="deployment/podinfo", replicas=0)
    victims = fault.choose(context)
    world.cluster.server.fail_next(
        422, "Invalid", "testing value /spec/replicas failed", method="PATCH", path="podinfo"
    )
    with pytest.raises(Inconclusive, match="changed by another client"):
        fault.inject(context, victims)
    assert _replicas(world) == 3


def test_undo_with_a_lost_response_counts_as_done(world: World) -> None:
    """The first try got through and its answer did not; the second one fails its own test."""
    parameters = _inject(world, 0)
    _set(world, 3)
    world.cluster.server.fail_next(0, count=1, method="PATCH")
    assert "3 replicas again" in Scale.undo(world.cluster, parameters)


def test_an_undo_that_the_server_refuses_fails_loudly(world: World) -> None:
    parameters = _inject(world, 0)
    world.cluster.server.fail_next(403, "Forbidden", method="PATCH")
    with pytest.raises(ApiError, match="Forbidden"):
        Scale.undo(world.cluster, parameters)


def test_evidence_needs_the_controller_to_have_followed(world: World) -> None:
    world.cluster.server.store.reactors.clear()
    context = world.context()
    fault = Scale(of="deployment/podinfo", replicas=0)
    victims = fault.choose(context)
    fault.inject(context, victims)
    evidence = fault.evidence(context, victims)
    assert not evidence.proven
    assert "is set to 0 and has 3" in evidence.text


@pytest.mark.parametrize(
    ("before", "wanted", "running", "proven"), [(3, 0, 2, True), (3, 0, 3, False), (3, 6, 4, True)]
)
def test_a_slow_controller_has_followed_when_it_has_begun(
    world: World, before: int, wanted: int, running: int, proven: bool
) -> None:
    world.cluster.server.store.reactors.clear()
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {"replicas": 3}}
    world.cluster.server.seed(body, namespace=NAMESPACE)
    context = world.context()
    fault = Scale(of="statefulset/db", replicas=wanted)
    victims = fault.choose(context)
    fault.inject(context, victims)
    status = {"status": {"replicas": running, "observedGeneration": 2}}
    world.api.patch(STATEFUL_SETS, "db", status, NAMESPACE, subresource="status")
    assert fault.evidence(context, victims).proven is proven


@pytest.mark.parametrize("parameters", [{"of": "daemonset/x", "replicas": 1}, {"of": "deployment/x", "replicas": -1}])
def test_unscalable_target_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Scale.model_validate(parameters)


def test_pods_that_scaling_down_removed_are_unfinished(world: World) -> None:
    world.cluster.server.store.reactors.remove(world.kubelet)
    context = world.context()
    fault = Scale(of="deployment/podinfo", replicas=2)
    victims = fault.choose(context)
    assert fault.unfinished(context, victims) == ""
    fault.inject(context, victims)
    assert "is still terminating (grace period 30 s)" in fault.unfinished(context, victims)
    more = Scale(of="deployment/podinfo", replicas=5)
    assert more.unfinished(context, more.choose(context)) == "", "scaling up removes nothing"


def test_more_replicas_than_the_api_accepts_are_refused() -> None:
    Scale(of="deployment/podinfo", replicas=2**31 - 1)
    with pytest.raises(ValidationError, match="less than or equal to 2147483647"):
        Scale(of="deployment/podinfo", replicas=2**31)
