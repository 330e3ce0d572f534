"""Operators are installed from the manifest of their own module, with the image and the node of this cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.cluster.components import ON_DEMAND
from harness.cluster.images import PUBLISHED
from harness.cluster.kube.client import Object
from harness.cluster.local import operators
from harness.cluster.local.operators import OPERATORS, operator_objects, operators_for

ROLLOUTS, VERTICAL, KEDA, CUSTOM_METRICS = OPERATORS
MANIFEST = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: argo-rollouts}
---
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: argo-rollouts}
subjects: [{kind: ServiceAccount, name: argo-rollouts}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: argo-rollouts, namespace: argo-rollouts}
spec:
  template:
    spec:
      containers: [{name: argo-rollouts, image: "quay.io/argoproj/argo-rollouts:latest", imagePullPolicy: Always}]
"""


def test_custom_resources_need_their_operator() -> None:
    rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
    assert operators_for([rollout, rollout]) == [ROLLOUTS]


@pytest.mark.parametrize(
    "item",
    [{"apiVersion": "apps/v1", "kind": "Deployment"}, {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow"}],
)
def test_other_kinds_need_no_operator(item: dict[str, str]) -> None:
    assert operators_for([item]) == []


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_each_operator_has_a_component_and_an_image(operator: operators.Operator) -> None:
    # The harness's own programs are published nowhere.
    own = {component.name for component in ON_DEMAND if component.package == "."}
    assert set(operator.programs) <= {component.name for component in ON_DEMAND}
    assert set(operator.programs) <= PUBLISHED.keys() | own


def autoscaler(*types: str) -> dict[str, object]:
    spec = {"metrics": [{"type": kind} for kind in types]} if types else {}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {}, "spec": spec}


@pytest.mark.parametrize(
    ("types", "needed"),
    [(("Pods",), True), (("Resource", "Object"), True), (("Resource",), False), (("External",), False), ((), False)],
)
def test_autoscalers_may_need_custom_metrics(types: tuple[str, ...], needed: bool) -> None:
    assert operators_for([autoscaler(*types)]) == ([CUSTOM_METRICS] if needed else [])


def test_custom_metrics_are_served_by_its_own_program() -> None:
    found = operator_objects(CUSTOM_METRICS, {"custom-metrics": "resilience.local/cm:1"}, "node-1", lambda _: None)
    by_kind = {item["kind"]: item for item in found}
    pod = by_kind["Deployment"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "resilience.local/cm:1"
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "node-1"}
    assert by_kind["APIService"]["spec"]["service"]["namespace"] == "custom-metrics"
    # The only object outside its namespace: whom the API server trusts is read there.
    assert [item["kind"] for item in found if item["metadata"].get("namespace") == "kube-system"] == ["RoleBinding"]


def test_objects_have_the_image_and_node_of_this_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "install.yaml").write_text(MANIFEST)
    monkeypatch.setattr(operators.binaries, "module_file", lambda *_: tmp_path / "install.yaml")
    images = {"argo-rollouts": "resilience.local/rollouts:1"}
    account, binding, deployment = operator_objects(ROLLOUTS, images, "node-1", lambda _: None)
    assert account["kind"] == "ServiceAccount"
    assert binding["subjects"][0]["namespace"] == "argo-rollouts"
    assert "namespace" not in deployment["metadata"]
    pod = deployment["spec"]["template"]["spec"]
    assert (pod["containers"][0]["image"], pod["containers"][0]["imagePullPolicy"]) == (
        "resilience.local/rollouts:1",
        "IfNotPresent",
    )
    assert pod["nodeSelector"] == {"kubernetes.io/hostname": "node-1"}


def test_programs_get_the_arguments_for_short_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updater = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "vpa-updater"},
        "spec": {"template": {"spec": {"containers": [{"name": "updater", "args": ["--v=4"]}]}}},
    }
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(updater))
    monkeypatch.setattr(operators.binaries, "module_file", lambda *_: tmp_path / "file.yaml")
    images = dict.fromkeys(VERTICAL.programs, "resilience.local/vpa:1")
    found = operator_objects(VERTICAL, images, "node-1", lambda _: None)[0]
    assert found["spec"]["template"]["spec"]["containers"][0]["args"] == ["--v=4", "--updater-interval=5s"]


def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *objects: object) -> list[Object]:
    """Return the objects of KEDA if each of its files has these."""
    (tmp_path / "file.yaml").write_text(yaml.safe_dump_all(objects))
    monkeypatch.setattr(operators.binaries, "module_file", lambda *_: tmp_path / "file.yaml")
    images = dict.fromkeys(KEDA.programs, "resilience.local/keda:1")
    return operator_objects(KEDA, images, "node-1", lambda _: None)[: len(objects)]


def test_what_lies_in_other_namespaces_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = [
        {"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"},
        {"kind": "ServiceAccount", "name": "keda-operator", "namespace": "keda"},
    ]
    reader = {"kind": "RoleBinding", "metadata": {"name": "a", "namespace": "kube-system"}, "subjects": subjects}
    own = {"kind": "Role", "metadata": {"name": "b", "namespace": "keda"}}
    found, role = deployed(tmp_path, monkeypatch, reader, own)
    assert found == reader
    assert role["metadata"] == {"name": "b"}


def test_program_is_that_of_the_image_and_ready_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = {"httpGet": {"path": "/readyz"}, "initialDelaySeconds": 20}
    container = {"name": "keda-operator", "command": ["/keda"], "readinessProbe": probe}
    spec = {"template": {"spec": {"containers": [container]}}}
    (found,) = deployed(
        tmp_path, monkeypatch, {"kind": "Deployment", "metadata": {"name": "keda-operator"}, "spec": spec}
    )
    (made,) = found["spec"]["template"]["spec"]["containers"]
    assert "command" not in made
    assert (made["readinessProbe"]["initialDelaySeconds"], made["readinessProbe"]["periodSeconds"]) == (0, 1)
