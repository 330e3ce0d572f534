"""Changing and creating any object, and what the undo leaves of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.cluster.kube.resources import CONFIG_MAPS
from harness.common.errors import Inconclusive
from harness.faults.apply import MARK, Apply
from harness.faults.base import FaultContext
from tests.fake_world import NAMESPACE, World

SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
CHANGE = {
    **SETTINGS,
    "metadata": {"name": "settings", "labels": {"mode": "fast"}},
    "data": {"mode": "fast", "old": None, "new": "1"},
}


def _inject(world: World, item: dict[str, Any], **fields: Any) -> tuple[Apply, FaultContext]:
    context = world.context()
    fault = Apply(object=item, **fields)
    victims = fault.choose(context)
    fault.inject(context, victims)
    assert fault.evidence(context, victims).proven
    return fault, context


def _undo(world: World, context: FaultContext) -> str:
    return Apply.undo(world.cluster, context.journal.entries[0].parameters)


def _settings(world: World) -> dict[str, Any] | None:
    found = world.api.find(CONFIG_MAPS, "settings", NAMESPACE)
    if found is None:
        return None
    metadata = found["metadata"]
    return {"labels": metadata.get("labels") or {}, "notes": metadata.get("annotations") or {}, "data": found["data"]}


def test_former_values_are_restored_exactly(world: World) -> None:
    world.cluster.server.seed({**SETTINGS, "data": {"mode": "slow", "old": "1", "kept": "1"}}, namespace=NAMESPACE)
    before = _settings(world)
    _, context = _inject(world, CHANGE)
    after = _settings(world)
    assert after
    assert after["data"] == {"mode": "fast", "kept": "1", "new": "1"}
    assert after["labels"] == {"mode": "fast"}
    assert _undo(world, context) == "configmap/settings has its former values"
    assert _settings(world) == before
    assert "is undone already" in _undo(world, context)


def test_created_object_is_deleted(world: World) -> None:
    _, context = _inject(world, {**SETTINGS, "data": {"mode": "fast"}}, create=True)
    assert _undo(world, context) == "configmap/settings is deleted"
    assert _settings(world) is None
    assert _undo(world, context) == "configmap/settings is gone: nothing to undo"


def test_object_of_another_client_is_not_deleted(world: World) -> None:
    _, context = _inject(world, {**SETTINGS, "data": {"mode": "fast"}}, create=True)
    world.api.delete(CONFIG_MAPS, "settings", NAMESPACE)
    world.cluster.server.seed({**SETTINGS, "data": {"mode": "mine"}}, namespace=NAMESPACE)
    assert "does not have this fault's annotation" in _undo(world, context)
    assert _settings(world)


def test_values_of_another_client_stay(world: World) -> None:
    world.cluster.server.seed({**SETTINGS, "data": {"mode": "slow"}}, namespace=NAMESPACE)
    _, context = _inject(world, CHANGE)
    world.api.patch(CONFIG_MAPS, "settings", {"data": {"mode": "mine"}}, NAMESPACE)
    assert _undo(world, context) == "configmap/settings was changed by another client since, not touched"
    after = _settings(world)
    assert after
    assert (after["data"]["mode"], MARK in after["notes"]) == ("mine", False)


@pytest.mark.parametrize(
    ("exists", "create", "said"),
    [
        (False, False, "there is no configmap/settings in namespace shop: to create it, set create: true"),
        (True, True, "configmap/settings exists already in namespace shop"),
        (True, False, "no-op: configmap/settings already has these values"),
    ],
)
def test_object_is_as_the_fault_expects(world: World, exists: bool, create: bool, said: str) -> None:
    if exists:
        world.cluster.server.seed({**SETTINGS, "data": {"mode": "fast"}}, namespace=NAMESPACE)
    with pytest.raises(Inconclusive, match=said):
        _inject(world, {**SETTINGS, "data": {"mode": "fast"}}, create=create)


def _of(kind: str, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **fields}


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"kind": "ConfigMap"}, "found no apiVersion and no metadata.name, expected text for each of apiVersion, kind"),
        (_of("ConfigMap") | {"metadata": {"name": 3}}, "found metadata.name: 3, expected text"),
        (_of("ConfigMap") | {"metadata": {"name": "../x"}}, "found metadata.name: '../x', expected a name without /"),
        (_of("ConfigMap") | {"metadata": {"name": ".."}}, "found metadata.name: '..', expected a name without /"),
        (_of("Secret"), "found the kind Secret, which is not supported"),
        (_of("Node"), "found Node, which belongs to no namespace"),
        (_of("ConfigMap") | {"metadata": {"name": "x", "namespace": "y"}}, "found metadata.namespace"),
        (
            _of("Deployment", "apps/v1", spec={"replicas": 0}),
            "of deployment/x: use the fault scale",
        ),
        (_of("Deployment", "apps/v1", spec={"template": {}}), "use the fault rollout"),
    ],
)
def test_unsafe_object_is_refused(item: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Apply(object=item)
