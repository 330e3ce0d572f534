"""Experiments on a copy of what runs in a namespace: the original is only read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster.fake.access import FakeAccess
from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import Permission
from harness.cluster.kube.resources import CONFIG_MAPS, DEPLOYMENTS
from harness.cluster.kube.roles import roles_for
from harness.common.errors import CapabilityMissing, InputError
from harness.engine.plan.plan import plan
from harness.engine.preflight.live_workload import read_workload
from harness.engine.preflight.permissions import needed_by_session
from harness.engine.preflight.requirements import permissions
from harness.engine.runner import Runner
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.live.kinds import SECRETS
from harness.results.record import ExperimentRecord
from harness.safety.guard.policy import Policy
from tests.fake_run import EXPERIMENT, Stage
from tests.fake_world import deployment

NAMESPACE = "shop"
COPY = EXPERIMENT.replace("workload: workloads/shop", "workload: {copyOf: {namespace: shop}}")
SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "shop"},
    "spec": {"type": "LoadBalancer", "selector": {"app": "shop"}, "clusterIP": "10.0.0.7", "ports": [{"port": 80}]},
}
SETTINGS: Object = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings"},
    "data": {"url": "http://shop.shop.svc/", "other": "http://db.data.svc/"},
}
SECRET: Object = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "db", "namespace": NAMESPACE},
    "data": {"password": "aHVudGVyMg=="},
}


class CopyStage(Stage):
    """A stage on whose cluster a shop runs."""

    policy = Policy()

    def seed(self, *, with_secret: bool = False) -> None:
        shop = deployment("shop")
        metadata = {"name": NAMESPACE, "labels": {"istio-injection": "enabled"}}
        self.cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        if with_secret:
            container = shop["spec"]["template"]["spec"]["containers"][0]
            container["envFrom"] = [{"secretRef": {"name": "db"}}]
            self.cluster.server.seed(SECRET)
        for item in (shop, SERVICE, SETTINGS):
            self.cluster.api.apply(item, NAMESPACE)
        self.cluster.server.calls.clear()

    def run(self) -> Run:
        return replace(super().run(), policy=self.policy)

    def read(self, text: str = COPY, twin: str = "") -> Experiment:
        return read_workload(self.run(), self.experiment(text, twin))

    def play_copy(self, text: str = COPY, twin: str = "") -> ExperimentRecord:
        return Runner(self.run(), self.read(text, twin), "experiments/one-killed.yaml::one-killed").run()

    def touched(self) -> list[str]:
        """The calls that changed something in the original namespace."""
        calls = (f"{call.method} {call.path}" for call in self.cluster.server.calls if call.writes)
        return [call for call in calls if f"/namespaces/{NAMESPACE}" in call]

    def applied(self, plural: str) -> list[Object]:
        """The objects of a kind that were applied."""
        return [
            call.body
            for call in self.cluster.server.calls
            if call.method == "PATCH" and f"/{plural}/" in call.path and "fieldManager" in call.query and call.writes
        ]


@pytest.fixture
def stage(tmp_path: Path) -> CopyStage:
    made = CopyStage(tmp_path)
    made.seed()
    return made


def test_copy_runs_in_its_own_namespace(stage: CopyStage) -> None:
    record = stage.play_copy()
    assert record.faults[0].proven, record.reason
    assert record.namespace.startswith("rh-one-killed-")
    assert stage.touched() == []
    assert stage.namespaces() == []
    assert stage.cluster.api.get(DEPLOYMENTS, "shop", NAMESPACE)["spec"]["replicas"] == 3


def test_references_mean_the_copy(stage: CopyStage) -> None:
    record = stage.play_copy()
    (settings,) = (item for item in stage.applied("configmaps") if item["metadata"]["name"] == "settings")
    assert settings["data"]["url"] == f"http://shop.{record.namespace}.svc/"
    assert settings["data"]["other"] == "http://db.data.svc/"
    assert stage.cluster.api.get(CONFIG_MAPS, "settings", NAMESPACE)["data"] == SETTINGS["data"]


def test_service_is_copied_without_its_address(stage: CopyStage) -> None:
    stage.play_copy()
    (service,) = stage.applied("services")
    assert service["spec"]["type"] == "NodePort"
    assert "clusterIP" not in service["spec"]


def test_namespace_of_the_copy_has_the_labels(stage: CopyStage) -> None:
    stage.play_copy()
    made = [
        call.body for call in stage.cluster.server.calls if (call.method, call.path) == ("POST", "/api/v1/namespaces")
    ]
    (own,) = (item for item in made if item["metadata"]["name"].startswith("rh-"))
    assert own["metadata"]["labels"]["istio-injection"] == "enabled"


def test_twin_is_a_patched_copy(stage: CopyStage) -> None:
    experiment = stage.read(twin="one-replica")
    found = experiment.workload.find("deployment/shop")
    assert found
    assert found["spec"]["replicas"] == 1
    stage.play_copy(twin="one-replica")
    assert [item["spec"]["replicas"] for item in stage.applied("deployments")] == [1]
    assert stage.touched() == []


def test_wrong_patch_of_a_twin_is_found_after_reading(stage: CopyStage) -> None:
    stage.experiment(COPY.replace("deployment/shop: {spec: {replicas: 1}}", "deployment/gone: {spec: {replicas: 1}}"))
    with pytest.raises(InputError, match="found deployment/gone, but the workload has only"):
        stage.read(COPY.replace("deployment/shop: {spec: {replicas: 1}}", "deployment/gone: {spec: {replicas: 1}}"))


def test_secrets_need_the_guard_and_are_not_stored(tmp_path: Path) -> None:
    stage = CopyStage(tmp_path)
    stage.seed(with_secret=True)
    with pytest.raises(InputError, match=r"set secrets: \[db\] here and copySecrets: \[db\]"):
        stage.read()
    named = COPY.replace("{namespace: shop}", "{namespace: shop, secrets: [db]}")
    with pytest.raises(InputError, match="the guard does not allow to copy the Secrets db"):
        stage.read(named)
    stage.policy = Policy(copy_secrets=["db"])
    stage.play_copy(named)
    (secret,) = stage.applied("secrets")
    assert secret["data"] == SECRET["data"]
    stored = [
        file for file in tmp_path.rglob("*") if file.is_file() and "aHVudGVyMg" in file.read_text(errors="replace")
    ]
    assert stored == []
    assert stage.touched() == []


def test_plan_shows_the_objects_that_were_read(stage: CopyStage) -> None:
    found = plan(stage.run(), stage.read())
    assert {"deployment/shop", "service/shop", "configmap/settings"} <= set(found.objects)
    assert stage.touched() == []


def test_denied_kind_is_reported_before_anything_is_read(stage: CopyStage, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = Permission("experiment", "", "configmaps", "list", namespace=NAMESPACE)
    run = stage.run()
    run.granted[denied] = False
    with pytest.raises(CapabilityMissing, match="permission denied: list configmaps in namespace shop"):
        read_workload(run, stage.experiment(COPY))


def test_roles_are_derived_without_a_cluster(stage: CopyStage) -> None:
    found = permissions(stage.experiment(COPY.replace("{namespace: shop}", "{namespace: shop, secrets: [db]}")))
    assert Permission("experiment", "apps", "deployments", "list", namespace=NAMESPACE) in found
    assert Permission("experiment", "", SECRETS.plural, "get", "db", NAMESPACE) in found
    assert Permission("experiment", "apps", "statefulsets", "create") in found
    assert not any(each.namespace and each.verb not in {"get", "list"} for each in found)


def test_derived_roles_are_enough(stage: CopyStage) -> None:
    needed = needed_by_session() | permissions(stage.experiment(COPY))
    stage.cluster.server.access = FakeAccess(roles_for(needed, "few"))
    assert stage.play_copy().faults[0].proven
