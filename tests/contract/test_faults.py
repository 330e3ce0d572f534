"""The contract of every fault: checked for each class with a kind in ``harness/faults``.

A kind that does not declare what these tests need fails ``test_a_fault_declares_what_its_tests_need`` with a list of
what is missing, and the other tests skip it.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from harness.cluster.fake.nodes import METHOD as MACHINE
from harness.cluster.fake.server import Call
from harness.cluster.kube.permissions import Permission, used
from harness.cluster.kube.resources import API_SERVICES, AUTOSCALERS, DEPLOYMENTS, METRICS_API, NAMESPACES, NODES, PODS
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, ClusterRefused, HarnessError, Inconclusive
from harness.common.naming import SYSTEM_NAMESPACE
from harness.experiment import registry
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.model.timeline import Victim
from harness.safety.cleanup import janitor
from harness.safety.guard import PROTECTED_LABEL
from harness.safety.undo.cluster_copy import PERMISSIONS
from harness.safety.undo.journal import read_journal
from tests.contract.fault_examples import (
    EFFECTS,
    cordoned,
    effects,
    example,
    metrics_services,
    missing,
    missing_elsewhere,
    specs,
)
from tests.fake_world import NAMESPACE, World

KINDS = sorted(registry.faults())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if missing(str(request.param)):
        pytest.skip("declares too little: see test_a_fault_declares_what_its_tests_need")
    return str(request.param)


@pytest.fixture
def fault(kind: str, world: World) -> Fault:
    return example(kind, world)


def _calls(world: World, action: Callable[[], object]) -> list[Call]:
    before = len(world.cluster.server.calls)
    action()
    return world.cluster.server.calls[before:]


@pytest.mark.parametrize("name", KINDS)
def test_a_fault_declares_what_its_tests_need(name: str) -> None:
    found = missing(name)
    if found:
        pytest.fail("\n".join((f"{name} cannot be tested:", *found)), pytrace=False)


@pytest.mark.parametrize("name", KINDS)
def test_a_fault_is_listed_wherever_all_faults_are(name: str) -> None:
    found = list(missing_elsewhere(name))
    if found:
        pytest.fail("\n".join((f"{name} is missing elsewhere:", *found)), pytrace=False)


class _Bare(Fault):
    """A fault as a newcomer begins it."""

    kind: ClassVar[str] = "bare"

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        context.api.exec(NAMESPACE, next(iter(context.api.list(PODS, NAMESPACE).items))["metadata"]["name"], ["new"])
        return ()

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        raise NotImplementedError

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        raise NotImplementedError

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        raise NotImplementedError


class _Unhandled(_Bare):
    """One that runs a command of its own."""

    kind: ClassVar[str] = "unhandled"
    example: ClassVar[Mapping[str, Any]] = {"delay": 1}
    effect: ClassVar[Effect] = Effect.CONTAINERS
    delay: int


def test_a_new_fault_gets_one_list_of_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "faults", lambda: {"bare": _Bare, "unhandled": _Unhandled})
    example, effect = missing("bare")
    assert "class _Bare in tests/contract/test_faults.py: no `example" in example
    assert "class _Bare in tests/contract/test_faults.py: no `effect" in effect
    (handler,) = missing("unhandled")
    assert handler.startswith("tests/contract/fault_examples.py: PREPARE['unhandled'] does not register a handler: ")
    assert "no handler for this command, run in container None of the fake pod podinfo-" in handler
    elsewhere = list(missing_elsewhere("bare"))
    files = ["tests/live/killed.py", "docs/kill-matrix.md", "docs/reference.md"]
    assert [line.partition(":")[0] for line in elsewhere] == files


def test_no_fault_was_lost() -> None:
    assert len(KINDS) >= 5


def test_injecting_changes_what_its_effect_declares(fault: Fault, world: World) -> None:
    context, before = world.context(), effects(world)
    fault.inject(context, fault.choose(context))
    after = effects(world)
    changed = [effect.name for effect in EFFECTS if before[effect] != after[effect]]
    assert fault.effect.name in changed, f"declared: {fault.effect.name}; changed: {', '.join(changed) or 'nothing'}"


def test_the_state_before_is_a_frozen_dataclass(fault: Fault, world: World) -> None:
    """See ``Fault.evidence``: it is data of a type, not text to parse, and victims are keys of a dict."""
    for victim in fault.choose(world.context()):
        if victim.before is not None:
            assert is_dataclass(victim.before), f"{fault.kind}: found {victim.before!r} as Victim.before"
            hash(victim.before)
            with pytest.raises(AttributeError):
                setattr(victim.before, fields(victim.before)[0].name, "changed")


def test_parameters_are_documented_frozen_and_closed(kind: str, fault: Fault) -> None:
    model = registry.faults()[kind]
    assert model.__doc__
    assert sys.modules[model.__module__].__doc__
    undocumented = [name for name, field in model.model_fields.items() if not field.description]
    assert not undocumented, f"parameters of {kind} without a description: {', '.join(undocumented)}"
    with pytest.raises(ValidationError):
        setattr(fault, next(iter(model.model_fields)), "changed")
    with pytest.raises(ValidationError, match="unheard"):
        model.model_validate({**model.example, "unheardOf": 1})


def test_parameters_survive_yaml_and_meet_their_own_schema(kind: str, fault: Fault) -> None:
    model = registry.faults()[kind]
    written = yaml.safe_load(yaml.safe_dump(fault.model_dump(mode="json", by_alias=True, exclude_none=True)))
    assert model.model_validate(written) == fault
    schema = model.model_json_schema(by_alias=True)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(dict(model.example), schema)
    jsonschema.validate(written, schema)


def test_fault_declares_selectors_or_workloads(fault: Fault) -> None:
    assert fault.selectors or fault.workloads, f"{fault.kind} declares neither selectors nor workloads"


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
    items = [*store.list(DEPLOYMENTS, NAMESPACE), *store.list(NODES), *store.list(API_SERVICES)]
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
    if fault.effect is Effect.METRICS_API:
        # It hits autoscalers, whatever they scale.
        world.api.patch(AUTOSCALERS, "podinfo", label, NAMESPACE)
    with pytest.raises(ClusterRefused, match=PROTECTED_LABEL):
        fault.choose(world.context())


def test_the_undo_is_in_the_cluster_before_the_effect(fault: Fault, world: World) -> None:
    context = world.context()
    victims = fault.choose(context)
    writes = [call for call in _calls(world, lambda: fault.inject(context, victims)) if call.writes]
    own = [call.namespace == NAMESPACE or call.method == MACHINE or _is_declared(fault, call) for call in writes]
    journal = [index for index, call in enumerate(writes) if call.path.startswith(_journal_path())]
    assert journal
    assert any(own)
    assert journal[-1] < own.index(True)


@pytest.mark.parametrize("status", [0, 403, 500])
def test_no_effect_when_the_journal_cannot_be_written(fault: Fault, world: World, status: int) -> None:
    context = world.context()
    victims = fault.choose(context)
    before = effects(world)
    world.cluster.server.fail_next(status, count=99, path="/configmaps")
    with pytest.raises(ApiError):
        fault.inject(context, victims)
    assert effects(world) == before
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


def test_no_victim_is_no_evidence(fault: Fault, world: World) -> None:
    assert not fault.evidence(world.context(), ()).proven


def test_a_replaced_namesake_is_not_mistaken_for_the_victim(fault: Fault, world: World) -> None:
    context = world.context()
    strangers = tuple(replace(victim, uid="another-uid") for victim in fault.choose(context))
    before = effects(world)
    with pytest.raises(HarnessError):
        fault.inject(context, strangers)
    assert effects(world) == before


def test_undo_puts_back_and_may_be_repeated(kind: str, fault: Fault, world: World) -> None:
    context = world.context()
    before, metrics = specs(world), metrics_services(world)
    fault.inject(context, fault.choose(context))
    undo = registry.undo_actions()[kind]
    # From the file, as another process would after a crash.
    entries = read_journal(world.journal_file)
    first = [undo(world.cluster, entry.parameters) for entry in reversed(entries)]
    assert all(first)
    assert specs(world) == before
    assert world.processes.stopped == set()
    assert world.cluster.machines.broken == set()
    assert cordoned(world) == set()
    assert metrics_services(world) == metrics
    again = _calls(world, lambda: [undo(world.cluster, entry.parameters) for entry in reversed(entries)])
    # Commands and requests to pods are safe to repeat; whether they are needed cannot be read from the cluster.
    assert [call for call in again if call.writes and call.method not in {"EXEC", "FORWARD"}] == []
    assert specs(world) == before


def test_undo_before_the_effect_changes_nothing(kind: str, fault: Fault, world: World) -> None:
    """A crash between the journal's write and the effect leaves an entry for something that never happened."""
    context = world.context()
    fault.inject(context, fault.choose(context))
    entries = context.journal.entries
    fresh = World.build(world.folder / "fresh")
    before = effects(fresh)
    for entry in entries:
        registry.undo_actions()[kind](fresh.cluster, entry.parameters)
    assert effects(fresh) == before


def test_undo_is_a_no_op_without_the_namespace(kind: str, fault: Fault, world: World) -> None:
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
        fault.unfinished(context, victims)

    for call in _calls(world, whole_life):
        discovery = call.method == "GET" and call.path in {"/api/v1", "/apis/apps/v1"}
        # What hits whole nodes looks at the whole cluster, and writes nowhere else either; machines are no namespace.
        if fault.disruptive and (not call.writes or call.method == MACHINE or _is_declared(fault, call)):
            continue
        assert discovery or call.namespace in {NAMESPACE, SYSTEM_NAMESPACE} or _is_own_namespace(call), call


def test_fault_uses_only_its_declared_permissions(fault: Fault, world: World) -> None:
    """Roles are made of them, so a call that is missing here would be forbidden in the middle of an experiment."""
    context = world.context()

    def whole_life() -> None:
        victims = fault.choose(context)
        fault.inject(context, victims)
        fault.evidence(context, victims)
        context.journal.undo_all(registry.undo_actions())
        assert fault.unfinished(context, victims) == ""

    calls = _calls(world, whole_life)
    needed = {each for call in calls for each in used(call.method, call.path)}
    undeclared, unused = needed - fault.permissions - PERMISSIONS, fault.permissions - needed
    found = f"permissions used but not declared: {_listed(undeclared)}; declared but not used: {_listed(unused)}"
    assert not undeclared | unused, found


def test_the_janitor_may_undo_it(kind: str, fault: Fault, world: World) -> None:
    if fault.effect is Effect.MACHINES:
        pytest.skip("a pod cannot reach the machines below nodes")
    context = world.context()
    fault.inject(context, fault.choose(context))
    undo = registry.undo_actions()[kind]
    calls = _calls(world, lambda: [undo(world.cluster, entry.parameters) for entry in context.journal.entries])
    denied = {each for call in calls for each in used(call.method, call.path)} - janitor.PERMISSIONS
    assert not denied, f"PERMISSIONS in {janitor.__file__} lack {_listed(denied)}"


def test_no_randomness_but_the_context_s(fault: Fault, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("random", "sample", "choice", "choices", "shuffle", "randint"):
        monkeypatch.setattr(random, name, lambda *_: pytest.fail("a fault drew from the global random source"))
    victims: tuple[Victim, ...] = fault.choose(world.context())
    assert victims


def _listed(permissions: set[Permission] | frozenset[Permission]) -> str:
    return ", ".join(str(each) for each in sorted(permissions)) or "none"


def _journal_path() -> str:
    return f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps"


def _is_declared(fault: Fault, call: Call) -> bool:
    """Return whether a call writes to what the fault declares as its effect beyond the namespace."""
    if fault.effect is Effect.METRICS_API:
        return call.path == API_SERVICES.path(name=METRICS_API)
    return call.path.startswith("/api/v1/nodes/")


def _is_own_namespace(call: Call) -> bool:
    made = call.path == "/api/v1/namespaces" and call.body["metadata"]["name"] == SYSTEM_NAMESPACE
    return made or call.path == f"/api/v1/namespaces/{SYSTEM_NAMESPACE}"
