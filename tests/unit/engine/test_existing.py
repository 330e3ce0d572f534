"""Experiments in an existing namespace: opt-in, limits, the lock, and the state before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.access import FakeAccess
from harness.cluster.kube.client import FIELD_MANAGER, Object
from harness.cluster.kube.resources import CONFIG_MAPS, DEPLOYMENTS, LEASES, NAMESPACES, PODS, SERVICES
from harness.cluster.kube.roles import roles_for
from harness.common.errors import ClusterRefused, InputError, LeftBehind
from harness.common.naming import SYSTEM_NAMESPACE
from harness.engine.plan.plan import plan
from harness.engine.preflight.live_workload import read_workload
from harness.engine.preflight.permissions import needed_by_session
from harness.engine.preflight.requirements import permissions
from harness.engine.runner import Runner
from harness.engine.steps.existing import ExistingNamespace
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.faults.pod_kill import PodKill
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord
from harness.safety.guard.policy import OPT_IN_LABEL, Existing, Policy
from harness.safety.guard.safety import Cap, Caps
from harness.safety.undo.cluster_copy import find_copies
from tests.fake_run import EXPERIMENT, Stage
from tests.fake_world import deployment

NAMESPACE = "shop"
IN_PLACE = EXPERIMENT.replace("workload: workloads/shop", "workload: {existing: {namespace: shop}}").partition(
    "twins:"
)[0]
SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "shop"},
    "spec": {
        "type": "NodePort",
        "selector": {"app": "shop"},
        "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
    },
}


class LiveStage(Stage):
    """A stage on whose cluster a shop and another Deployment run."""

    policy = Policy()

    def seed(self, *, opted_in: bool = True) -> None:
        labels = {OPT_IN_LABEL: "true"} if opted_in else {}
        server = self.cluster.server
        server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
        for item in (deployment("shop"), deployment("other"), SERVICE):
            self.cluster.api.apply(item, NAMESPACE)

    def read(self, text: str = IN_PLACE) -> Experiment:
        return read_workload(self.run(), self.experiment(text))

    def run(self) -> Run:
        return replace(super().run(), policy=self.policy)

    def play_in_place(self, text: str = IN_PLACE) -> ExperimentRecord:
        return Runner(self.run(), self.read(text), "experiments/one-killed.yaml::one-killed").run()

    def written(self) -> list[str]:
        """The calls since the experiment began that changed objects of the namespace."""
        calls = (f"{call.method} {call.path}" for call in self.cluster.server.calls if call.writes)
        return [call for call in calls if f"/namespaces/{NAMESPACE}/" in call]

    def label(self, value: str) -> None:
        self.cluster.api.patch(NAMESPACES, NAMESPACE, {"metadata": {"labels": {OPT_IN_LABEL: value}}})


@pytest.fixture
def stage(tmp_path: Path) -> LiveStage:
    made = LiveStage(tmp_path)
    made.seed()
    made.cluster.server.calls.clear()
    return made


def _leases(stage: Stage) -> list[str]:
    return [item["metadata"]["name"] for item in stage.cluster.server.store.list(LEASES, SYSTEM_NAMESPACE)]


def _at_evidence(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Call ``act`` while the fault is injected."""
    evidence = PodKill.evidence

    def acting(self: PodKill, *arguments: Any) -> Any:
        act()
        return evidence(self, *arguments)

    monkeypatch.setattr(PodKill, "evidence", acting)


def test_only_the_fault_changes_the_namespace(stage: LiveStage) -> None:
    record = stage.play_in_place()
    assert record.faults[0].proven, record.reason
    (write,) = stage.written()
    assert write.startswith("DELETE /api/v1/namespaces/shop/pods/shop-")
    assert record.namespace == NAMESPACE
    assert "namespace shop: 4 objects compared with the state before, every field is equal" in record.notes


def test_nothing_of_the_run_remains(stage: LiveStage) -> None:
    stage.play_in_place()
    assert _leases(stage) == []
    assert find_copies(stage.cluster.api) == []
    assert stage.cluster.server.store.list(CONFIG_MAPS, NAMESPACE) == []
    assert stage.namespaces() == []


def test_undone_fault_leaves_every_field_as_before(stage: LiveStage) -> None:
    text = IN_PLACE.replace("podKill: {selector: app=shop, count: 1}", "scale: {of: deployment/shop, replicas: 2}")
    record = stage.play_in_place(text)
    assert stage.cluster.api.get(DEPLOYMENTS, "shop", NAMESPACE)["spec"]["replicas"] == 3
    assert any("every field is equal" in note for note in record.notes), record.notes


def test_namespace_without_opt_in_is_refused(tmp_path: Path) -> None:
    stage = LiveStage(tmp_path)
    stage.seed(opted_in=False)
    stage.cluster.server.calls.clear()
    with pytest.raises(ClusterRefused, match=r"kubectl label namespace shop resilience\.harness/opt-in=true") as raised:
        stage.play_in_place()
    assert "add `existing: [shop]` to resilience-guard.yaml" in str(raised.value)
    assert stage.written() == []


def test_entry_in_the_guard_file_is_an_opt_in(tmp_path: Path) -> None:
    stage = LiveStage(tmp_path)
    stage.policy = Policy(existing=Existing(namespaces=[NAMESPACE]))
    stage.seed(opted_in=False)
    assert stage.play_in_place().faults[0].proven


@pytest.mark.parametrize("name", ["kube-system", "default"])
def test_namespace_of_the_cluster_is_refused(stage: LiveStage, name: str) -> None:
    stage.cluster.api.apply(deployment("shop"), name)
    stage.policy = Policy(existing=Existing(namespaces=[name]))
    with pytest.raises(ClusterRefused, match=f"namespace {name} is"):
        stage.play_in_place(IN_PLACE.replace("{namespace: shop}", f"{{namespace: {name}}}"))


def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every question for a reason read the namespace: with the fake clock the watch's thread never looks again."""

    def reason(self: ExistingNamespace) -> str | None:
        assert self._watch
        self._watch.look(self._run.cluster.api)
        return self._watch.reason

    monkeypatch.setattr(ExistingNamespace, "reason", reason)


def test_withdrawn_opt_in_ends_the_experiment(stage: LiveStage, monkeypatch: pytest.MonkeyPatch) -> None:
    _look_at_once(monkeypatch)
    _at_evidence(monkeypatch, lambda: stage.label("false"))
    record = stage.play_in_place()
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "the guard no longer allows faults: namespace shop has not opted in" in record.reason


def test_no_fault_after_the_opt_in_is_withdrawn(stage: LiveStage, monkeypatch: pytest.MonkeyPatch) -> None:
    write = PodKill.write_undo

    def withdrawing(self: PodKill, *arguments: Any) -> Any:
        stage.label("false")
        return write(self, *arguments)

    monkeypatch.setattr(PodKill, "write_undo", withdrawing)
    record = stage.play_in_place()
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "has not opted in" in record.reason
    assert stage.written() == []


def test_vanished_namespace_is_inconclusive(stage: LiveStage, monkeypatch: pytest.MonkeyPatch) -> None:
    _look_at_once(monkeypatch)

    def vanish() -> None:
        if stage.cluster.api.find(NAMESPACES, NAMESPACE):
            stage.cluster.api.delete(NAMESPACES, NAMESPACE)

    _at_evidence(monkeypatch, vanish)
    record = stage.play_in_place()
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "namespace shop" in record.reason
    assert any("is gone or being deleted: its objects could not be compared" in note for note in record.notes)
    assert _leases(stage) == []


def test_more_than_one_victim_is_refused(stage: LiveStage) -> None:
    with pytest.raises(ClusterRefused, match="and the guard allows 1"):
        stage.play_in_place(IN_PLACE.replace("count: 1", "count: 2"))
    assert stage.written() == []


def test_guard_file_raises_the_limit(stage: LiveStage) -> None:
    stage.policy = Policy(existing=Existing(caps=Caps(workload=Cap(count=2), namespace=Cap(count=2))))
    assert len(stage.play_in_place(IN_PLACE.replace("count: 1", "count: 2")).faults[0].victims) == 2


@pytest.mark.parametrize(("last_replica", "refused"), [("spared", True), ("declared", False)])
def test_last_replica_needs_the_guard_file(stage: LiveStage, last_replica: Any, refused: bool) -> None:
    stage.cluster.api.patch(DEPLOYMENTS, "shop", {"spec": {"replicas": 1}}, NAMESPACE)
    stage.cluster.server.calls.clear()
    stage.policy = Policy(existing=Existing(last_replica=last_replica))
    text = IN_PLACE + "safety: {lastReplica: allowed}\n"
    if refused:
        with pytest.raises(ClusterRefused, match="last healthy pod"):
            stage.play_in_place(text)
        assert stage.written() == []
    else:
        assert stage.play_in_place(text).faults[0].proven


def test_pod_outside_of_the_selection_is_refused(stage: LiveStage) -> None:
    stage.cluster.api.patch(DEPLOYMENTS, "shop", {"metadata": {"labels": {"team": "web"}}}, NAMESPACE)
    text = IN_PLACE.replace("{namespace: shop}", "{namespace: shop, selector: team=web}")
    assert stage.read(text).workload.names() == ["deployment/shop", "service/shop"]
    pods = stage.cluster.server.store.list(PODS, NAMESPACE, "app=other")
    for pod in pods:
        stage.cluster.api.patch(PODS, pod["metadata"]["name"], {"metadata": {"labels": {"app": "shop"}}}, NAMESPACE)
    for pod in stage.cluster.server.store.list(PODS, NAMESPACE, "app=shop"):
        if pod["metadata"]["name"].startswith("shop-"):
            stage.cluster.api.patch(PODS, pod["metadata"]["name"], {"metadata": {"labels": {"app": "none"}}}, NAMESPACE)
    with pytest.raises(ClusterRefused, match="belongs to deployment/other, which the workload's selector does not"):
        Runner(stage.run(), stage.read(text), "experiments/one-killed.yaml::one-killed").run()


def test_file_checks_are_made_with_the_objects(stage: LiveStage) -> None:
    text = IN_PLACE.replace("selector: app=shop", "selector: app=missing").replace("deployment/shop", "deployment/gone")
    with pytest.raises(InputError) as raised:
        stage.read(text)
    told = [str(problem) for problem in raised.value.problems]
    assert len(told) == 2
    assert any("one-killed.yaml:" in line and "no pod of the workload has such labels" in line for line in told)
    assert any("found deployment/gone, but the workload has only" in line for line in told)


def test_twins_and_control_arm_are_refused_at_load(stage: LiveStage) -> None:
    text = EXPERIMENT.replace("workload: workloads/shop", "workload: {existing: {namespace: shop}}\ncontrol: true")
    with pytest.raises(InputError) as raised:
        stage.experiment(text)
    told = str(raised.value)
    assert "found twins of an existing namespace" in told
    assert "found a control arm beside an existing namespace" in told
    assert "copyOf" in told


def test_missing_namespace_is_one_error(stage: LiveStage) -> None:
    with pytest.raises(InputError, match="but the cluster has no such namespace") as raised:
        stage.read(IN_PLACE.replace("{namespace: shop}", "{namespace: gone}"))
    assert len(raised.value.problems) == 1


def test_claims_that_stay_are_refused(stage: LiveStage) -> None:
    database = deployment("db")
    database |= {"kind": "StatefulSet"}
    database["spec"] |= {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}], "replicas": 2}
    stage.cluster.server.seed(database, namespace=NAMESPACE)
    text = IN_PLACE.replace("podKill: {selector: app=shop, count: 1}", "scale: {of: statefulset/db, replicas: 3}")
    with pytest.raises(InputError, match="makes a volume claim for each further one"):
        stage.read(text)
    stage.read(text.replace("replicas: 3", "replicas: 1"))


def test_second_run_on_the_namespace_is_refused(stage: LiveStage, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def second() -> None:
        other = LiveStage(stage.root / "other")
        other.cluster, other.clock = stage.cluster, stage.clock
        run = other.run()
        experiment = read_workload(run, other.experiment(IN_PLACE))
        try:
            Runner(replace(run, id="run2"), experiment, "two").run()
        except ClusterRefused as error:
            refused.append(str(error))

    def once() -> None:
        if not refused:
            second()

    _at_evidence(monkeypatch, once)
    stage.play_in_place()
    assert len(refused) == 1
    assert "namespace shop" in refused[0]


def test_change_by_a_user_is_a_note(stage: LiveStage, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = {"spec": {"template": {"spec": {"priorityClassName": "high"}}}}
    _at_evidence(monkeypatch, lambda: stage.cluster.api.patch(DEPLOYMENTS, "other", patch, NAMESPACE) and None)
    record = stage.play_in_place()
    told = "deployment/other: spec.template.spec.priorityClassName: (none) → high"
    assert any(told in note and "not by it" in note for note in record.notes), record.notes


def test_field_that_the_harness_wrote_is_a_leftover(stage: LiveStage, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"manager": FIELD_MANAGER, "operation": "Update", "fieldsV1": {"f:spec": {"f:type": {}}}}

    def leave() -> None:
        service = {"metadata": {"managedFields": [fields]}, "spec": {"type": "ClusterIP"}}
        stage.cluster.api.patch(SERVICES, "shop", service, NAMESPACE)

    _at_evidence(monkeypatch, leave)
    with pytest.raises(LeftBehind, match=r"in namespace shop: service/shop: spec\.type: NodePort → ClusterIP"):
        stage.play_in_place()
    assert stage.stored().verdict is Verdict.INCONCLUSIVE


def test_plan_creates_nothing(stage: LiveStage) -> None:
    found = plan(stage.run(), stage.read())
    assert found.namespaces == ()
    assert stage.written() == []
    assert found.faults[0].victims


@pytest.mark.parametrize(
    "fault", ["podKill: {selector: app=shop, count: 1}", "scale: {of: deployment/shop, replicas: 2}"]
)
def test_derived_roles_are_enough(stage: LiveStage, fault: str) -> None:
    text = IN_PLACE.replace("podKill: {selector: app=shop, count: 1}", fault)
    # As `harness rbac` derives them: without a cluster, so the objects are unknown.
    needed = needed_by_session() | permissions(stage.experiment(text))
    stage.cluster.server.access = FakeAccess(roles_for(needed, "few"))
    record = stage.play_in_place(text)
    assert record.faults[0].proven, record.reason
    assert any("every field is equal" in note for note in record.notes), record.notes


def test_derived_roles_write_only_in_the_namespace(stage: LiveStage) -> None:
    roles = roles_for(permissions(stage.experiment(IN_PLACE)), "few")
    places = {role["metadata"].get("namespace") for role in roles if role["kind"] == "Role"}
    assert places == {NAMESPACE, SYSTEM_NAMESPACE}
    (everywhere,) = (role for role in roles if role["kind"] == "ClusterRole")
    written = {
        resource
        for rule in everywhere["rules"]
        for resource in rule["resources"]
        if not set(rule["verbs"]) <= {"get", "list", "watch"}
    }
    # Only to create the harness's own namespace.
    assert written == {"namespaces"}
