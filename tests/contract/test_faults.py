"""What every fault must do, whoever wrote it: checked for each class that is found in its place."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from harness import registry
from harness.cluster.fake_nodes import METHOD as MACHINE
from harness.cluster.fake_server import Call
from harness.cluster.permissions import used
from harness.cluster.resources import DEPLOYMENTS, NAMESPACES, NODES
from harness.errors import ApiError, ClusterRefused, HarnessError, Inconclusive
from harness.fault import Fault
from harness.guard import PROTECTED_LABEL
from harness.naming import SYSTEM_NAMESPACE
from harness.observation import Victim
from harness.undo import read_journal
from harness.undo_copy import PERMISSIONS
from tests.fake_world import NAMESPACE, World


def _nothing(world: World) -> None:
    """The world is ready for most faults as it is."""


def _image_is_missing(world: World) -> None:
    world.kubelet.missing.add("does-not:exist")


# A fault without an example here fails the first test: say how it is written, and what it needs to bite.
EXAMPLES: dict[str, tuple[dict[str, Any], Callable[[World], None]]] = {
    "badRollout": ({"of": "deployment/podinfo", "image": "does-not:exist"}, _image_is_missing),
    "nodeCutOff": ({"hosting": "app=podinfo"}, _nothing),
    "nodePause": ({"hosting": "app=podinfo", "zone": "zone-a"}, _nothing),
    "nodeService": ({"hosting": "app=podinfo", "service": "containerd", "count": "all"}, _nothing),
    "nodeStop": ({"hosting": "app=podinfo", "selector": "kubernetes.io/hostname=node-1"}, _nothing),
    "podEvict": ({"selector": "app=podinfo", "count": 2}, _nothing),
    "podKill": ({"selector": "app=podinfo", "count": "50%", "gracePeriod": "0s"}, _nothing),
    "processHang": ({"selector": "app=podinfo", "count": "all", "process": "podinfo"}, _nothing),
    "scale": ({"of": "deployment/podinfo", "replicas": 0}, _nothing),
}

KINDS = sorted(registry.faults())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fault(kind: str, world: World) -> Fault:
    parameters, prepare = EXAMPLES[kind]
    prepare(world)
    return registry.faults()[kind].model_validate(parameters)


def _specs(world: World) -> list[Any]:
    return [item["spec"] for item in world.cluster.server.store.list(DEPLOYMENTS, NAMESPACE)]


def _effects(world: World) -> tuple[Any, ...]:
    """Everything that a fault may change, as it is now."""
    return _specs(world), world.pods(), set(world.processes.stopped), set(world.cluster.machines.broken)


def _calls(world: World, action: Callable[[], object]) -> list[Call]:
    before = len(world.cluster.server.calls)
    action()
    return world.cluster.server.calls[before:]


def test_every_fault_that_is_found_has_an_example_and_none_was_lost() -> None:
    assert sorted(EXAMPLES) == KINDS
    assert len(KINDS) >= 5


def test_parameters_are_documented_frozen_and_closed(kind: str, fault: Fault) -> None:
    model = registry.faults()[kind]
    assert model.__doc__
    assert sys.modules[model.__module__].__doc__
    undocumented = [name for name, field in model.model_fields.items() if not field.description]
    assert not undocumented
    with pytest.raises(ValidationError):
        setattr(fault, next(iter(model.model_fields)), "changed")
    with pytest.raises(ValidationError, match="unheard"):
        model.model_validate({**EXAMPLES[kind][0], "unheardOf": 1})


def test_parameters_survive_yaml_and_meet_their_own_schema(kind: str, fault: Fault) -> None:
    model = registry.faults()[kind]
    written = yaml.safe_load(yaml.safe_dump(fault.model_dump(mode="json", by_alias=True, exclude_none=True)))
    assert model.model_validate(written) == fault
    schema = model.model_json_schema(by_alias=True)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(EXAMPLES[kind][0], schema)
    jsonschema.validate(written, schema)


def test_what_it_needs_is_declared_before_anything_is_touched(fault: Fault) -> None:
    assert fault.selectors or fault.workloads


def test_choosing_only_reads(fault: Fault, world: World) -> None:
    calls = _calls(world, lambda: fault.choose(world.context()))
    # A command may be run to find out; no signal may be sent by it.
    assert [call for call in calls if call.writes and call.method != "EXEC"] == []
    assert world.processes.stopped == set()
    assert world.cluster.machines.broken == set()


def test_the_same_seed_chooses_the_same_victims(fault: Fault, world: World) -> None:
    assert fault.choose(world.context(seed=3)) == fault.choose(world.context(seed=3))


def test_victims_exist_and_carry_their_uid(fault: Fault, world: World) -> None:
    victims = fault.choose(world.context())
    store = world.cluster.server.store
    items = [*store.list(DEPLOYMENTS, NAMESPACE), *store.list(NODES)]
    known = set(world.pods().values()) | {item["metadata"]["uid"] for item in items}
    assert victims
    assert {victim.uid for victim in victims} <= known


def test_an_empty_target_is_refused(fault: Fault, world: World) -> None:
    world.api.create(NAMESPACES, {"metadata": {"name": "empty"}})
    with pytest.raises(Inconclusive, match="empty"):
        fault.choose(world.context("empty"))


def test_protected_victims_are_refused(fault: Fault, world: World) -> None:
    label = {"metadata": {"labels": {PROTECTED_LABEL: "true"}}}
    world.api.patch(DEPLOYMENTS, "podinfo", label, NAMESPACE)
    template = {"spec": {"template": label}}
    world.api.patch(DEPLOYMENTS, "podinfo", template, NAMESPACE)
    with pytest.raises(ClusterRefused, match=PROTECTED_LABEL):
        fault.choose(world.context())


def test_the_undo_is_in_the_cluster_before_the_effect(fault: Fault, world: World) -> None:
    context = world.context()
    victims = fault.choose(context)
    writes = [call for call in _calls(world, lambda: fault.inject(context, victims)) if call.writes]
    own = [call.namespace == NAMESPACE or call.method == MACHINE for call in writes]
    journal = [index for index, call in enumerate(writes) if call.path.startswith(_journal_path())]
    assert journal
    assert any(own)
    assert journal[-1] < own.index(True)


@pytest.mark.parametrize("status", [0, 403, 500])
def test_no_effect_when_the_journal_cannot_be_written(fault: Fault, world: World, status: int) -> None:
    context = world.context()
    victims = fault.choose(context)
    before = _effects(world)
    world.cluster.server.fail_next(status, count=99, path="/configmaps")
    with pytest.raises(ApiError):
        fault.inject(context, victims)
    assert _effects(world) == before
    assert read_journal(world.journal_file), "the disk is written first"


def test_evidence_is_absent_before_and_present_after(fault: Fault, world: World) -> None:
    context = world.context()
    victims = fault.choose(context)
    before = fault.evidence(context, victims)
    fault.inject(context, victims)
    after = fault.evidence(context, victims)
    assert not before.proven, before.text
    assert after.proven, after.text
    assert all(victim.name in after.text for victim in victims)


def test_nothing_hit_is_nothing_proven(fault: Fault, world: World) -> None:
    assert not fault.evidence(world.context(), ()).proven


def test_a_replaced_namesake_is_not_mistaken_for_the_victim(fault: Fault, world: World) -> None:
    context = world.context()
    strangers = tuple(replace(victim, uid="somebody-else") for victim in fault.choose(context))
    before = _effects(world)
    with pytest.raises(HarnessError):
        fault.inject(context, strangers)
    assert _effects(world) == before


def test_undo_puts_back_and_may_be_repeated(kind: str, fault: Fault, world: World) -> None:
    context = world.context()
    before = _specs(world)
    fault.inject(context, fault.choose(context))
    undo = registry.undo_actions()[kind]
    # From the file, as another process would after a crash.
    entries = read_journal(world.journal_file)
    first = [undo(world.cluster, entry.parameters) for entry in reversed(entries)]
    assert all(first)
    assert _specs(world) == before
    assert world.processes.stopped == set()
    assert world.cluster.machines.broken == set()
    again = _calls(world, lambda: [undo(world.cluster, entry.parameters) for entry in reversed(entries)])
    assert [call for call in again if call.writes and call.method != "EXEC"] == []
    assert _specs(world) == before


def test_undo_before_the_effect_changes_nothing(kind: str, fault: Fault, world: World) -> None:
    """A crash between the journal's write and the effect leaves an entry for something that never happened."""
    context = world.context()
    fault.inject(context, fault.choose(context))
    entries = context.journal.entries
    fresh = World.build(world.folder / "fresh")
    before = _effects(fresh)
    for entry in entries:
        registry.undo_actions()[kind](fresh.cluster, entry.parameters)
    assert _effects(fresh) == before


def test_undo_has_nothing_to_do_when_the_namespace_is_gone(kind: str, fault: Fault, world: World) -> None:
    context = world.context()
    fault.inject(context, fault.choose(context))
    world.api.delete(NAMESPACES, NAMESPACE)
    for entry in context.journal.entries:
        assert registry.undo_actions()[kind](world.cluster, entry.parameters)


def test_journal_entries_are_plain_json_and_described(fault: Fault, world: World) -> None:
    context = world.context()
    fault.inject(context, fault.choose(context))
    for entry in context.journal.entries:
        assert json.loads(json.dumps(entry.parameters)) == entry.parameters
        assert entry.kind == fault.kind
        assert entry.description


def test_no_call_leaves_its_namespace(kind: str, fault: Fault, world: World) -> None:
    context = world.context()

    def whole_life() -> None:
        victims = fault.choose(context)
        fault.inject(context, victims)
        fault.evidence(context, victims)
        context.journal.undo_all(registry.undo_actions())

    for call in _calls(world, whole_life):
        discovery = call.method == "GET" and call.path in {"/api/v1", "/apis/apps/v1"}
        # What hits whole nodes looks at the whole cluster, and writes nowhere else either; machines are no namespace.
        if fault.disruptive and (not call.writes or call.method == MACHINE):
            continue
        assert discovery or call.namespace in {NAMESPACE, SYSTEM_NAMESPACE} or _is_own_namespace(call), call


def test_it_needs_no_more_than_the_permissions_it_declares(fault: Fault, world: World) -> None:
    """Roles are made of them, so a call that is missing here would be forbidden in the middle of an experiment."""
    context = world.context()

    def whole_life() -> None:
        victims = fault.choose(context)
        fault.inject(context, victims)
        fault.evidence(context, victims)
        context.journal.undo_all(registry.undo_actions())

    calls = _calls(world, whole_life)
    needed = {each for call in calls for each in used(call.method, call.path)}
    assert needed - fault.permissions - PERMISSIONS == set()
    assert fault.permissions - needed == set(), "more than it uses"


def test_no_randomness_but_the_context_s(fault: Fault, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("random", "sample", "choice", "choices", "shuffle", "randint"):
        monkeypatch.setattr(random, name, lambda *_: pytest.fail("a fault drew from the global random source"))
    victims: tuple[Victim, ...] = fault.choose(world.context())
    assert victims


def _journal_path() -> str:
    return f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps"


def _is_own_namespace(call: Call) -> bool:
    made = call.path == "/api/v1/namespaces" and call.body["metadata"]["name"] == SYSTEM_NAMESPACE
    return made or call.path == f"/api/v1/namespaces/{SYSTEM_NAMESPACE}"
