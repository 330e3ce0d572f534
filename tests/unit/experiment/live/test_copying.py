"""A copy of a namespace: what is left out, and which Secrets it may have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.errors import Inconclusive
from harness.experiment.live.copying import copy_of, missing_secrets, secret_refusals, with_content
from harness.experiment.workload_source import CopySelection
from harness.safety.guard.policy import Policy

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"}, "type": "Opaque"}
CONTENT = {"password": "aHVudGVyMg=="}


def _item(kind: str, name: str, api_version: str = "v1", **fields: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, **fields}


def _selection(*secrets: str) -> CopySelection:
    return CopySelection(namespace="shop", secrets=list(secrets))


def _deployment(*secrets: str, optional: bool = False) -> Object:
    sources = [{"secretRef": {"name": name, "optional": optional}} for name in secrets]
    spec = {"containers": [{"name": "shop", "envFrom": sources}]}
    return _item("Deployment", "shop", "apps/v1", spec={"template": {"metadata": {}, "spec": spec}})


def test_objects_that_act_outside_are_left_out() -> None:
    over = {"conditions": [{"type": "Complete", "status": "True"}]}
    objects = [
        _item("ConfigMap", "settings"),
        _item("Ingress", "shop", "networking.k8s.io/v1"),
        _item("HTTPRoute", "shop", "gateway.networking.k8s.io/v1"),
        _item("Certificate", "shop", "cert-manager.io/v1"),
        _item("Job", "migrate", "batch/v1", status=over),
        _item("Job", "working", "batch/v1", spec={}, status={}),
        _item("Widget", "shop", "example.com/v1", spec={"size": 3}),
    ]
    copy = copy_of(objects, _selection())
    assert [reference(item) for item in copy.objects] == ["configmap/settings", "job/working", "widget/shop"]
    assert any("ingress/shop, httproute/shop, certificate/shop (it acts outside" in note for note in copy.notes)
    assert any("job/migrate (it is over and would run again)" in note for note in copy.notes)


def test_claims_of_a_stateful_set_are_left_to_it() -> None:
    database = _item("StatefulSet", "db", "apps/v1", spec={"volumeClaimTemplates": [{"metadata": {"name": "data"}}]})
    claims = [_item("PersistentVolumeClaim", name, spec={}) for name in ("data-db-0", "data-db-1", "data-dbx-0")]
    copy = copy_of([database, *claims], _selection())
    assert [reference(item) for item in copy.objects] == ["statefulset/db", "pvc/data-dbx-0"]
    assert "statefulset/db, pvc/data-dbx-0: volumes of the copy start empty" in copy.notes


def test_labels_of_the_namespace_are_copied() -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "resilience.harness/opt-in": "true"}
    metadata = {"name": "shop", "uid": "1", "labels": labels, "annotations": {"openshift.io/sa.scc.uid-range": "1/2"}}
    (place,) = copy_of([], _selection(), {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).objects
    assert place["metadata"] == {"name": "shop", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}


def test_load_balancer_becomes_a_node_port() -> None:
    copy = copy_of([_item("Service", "shop", spec={"type": "LoadBalancer", "ports": []})], _selection())
    assert copy.objects[0]["spec"]["type"] == "NodePort"
    assert any("service/shop: of type LoadBalancer, copied as NodePort" in note for note in copy.notes)


def test_pull_secrets_are_named() -> None:
    account = _item("ServiceAccount", "shop", imagePullSecrets=[{"name": "registry"}])
    assert copy_of([account], _selection()).notes == (
        "pull secrets registry are not copied: images must be on the nodes, or need no credentials",
    )
    assert copy_of([account], _selection("registry")).notes == ()


def test_needed_secrets_are_one_error_with_the_way_out() -> None:
    (message,) = secret_refusals([_deployment("db", "mail")], _selection("db"), Policy())
    assert "mail (used by deployment/shop)" in message
    assert "set secrets: [db, mail] here and copySecrets: [db, mail] in resilience-guard.yaml" in message


def test_named_secrets_need_the_guard_file() -> None:
    (message,) = secret_refusals([_deployment("db")], _selection("db"), Policy())
    assert message == "the guard does not allow to copy the Secrets db: set copySecrets: [db] in resilience-guard.yaml"


@pytest.mark.parametrize("allowed", [True, ["db"]])
def test_guard_file_allows_secrets(allowed: bool | list[str]) -> None:
    assert secret_refusals([_deployment("db")], _selection("db"), Policy(copy_secrets=allowed)) == []


def test_optional_secrets_are_not_needed() -> None:
    assert secret_refusals([_deployment("db", optional=True)], _selection(), Policy()) == []


def test_missing_secret_is_reported(fake_cluster: FakeCluster) -> None:
    (message,) = missing_secrets(fake_cluster.api, _selection("db"))
    assert message == "cannot copy the Secret db of namespace shop: there is none"


def test_content_of_a_secret_is_only_in_the_applied_object(fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed({**SECRET, "type": "kubernetes.io/basic-auth", "data": CONTENT})
    copy = copy_of([_deployment("db")], _selection("db"))
    assert "aHVudGVyMg" not in json.dumps(copy.objects)
    applied = with_content(fake_cluster.api, copy.objects)
    assert applied[0]["data"] == CONTENT
    assert applied[0]["type"] == "kubernetes.io/basic-auth"
    assert "annotations" not in applied[0]["metadata"] or not applied[0]["metadata"]["annotations"]
    assert "aHVudGVyMg" not in json.dumps(copy.objects)


def test_patch_of_a_secret_wins(fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed({**SECRET, "data": {**CONTENT, "user": "YQ=="}})
    secret, *_ = copy_of([], _selection("db")).objects
    (applied,) = with_content(fake_cluster.api, [{**secret, "data": {"password": "Yg=="}}])
    assert applied["data"] == {"password": "Yg==", "user": "YQ=="}


def test_unreadable_secret_is_inconclusive(fake_cluster: FakeCluster) -> None:
    with pytest.raises(Inconclusive, match="the Secret db of namespace shop cannot be read"):
        with_content(fake_cluster.api, copy_of([], _selection("db")).objects)
