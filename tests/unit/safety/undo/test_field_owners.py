"""Fields that a fault changed and restored belong to their owners again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import FIELD_MANAGER, Object
from harness.cluster.kube.resources import DEPLOYMENTS
from harness.common.errors import NotYet
from harness.safety.undo.field_owners import record_owners, undo_owners
from harness.safety.undo.journal import Journal
from tests.fake_world import deployment

REPLICAS = {"f:spec": {"f:replicas": {}}}


def _entry(manager: str, **fields: Any) -> Object:
    return {"manager": manager, "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields}


GITOPS, OURS = _entry("argocd", **REPLICAS), _entry(FIELD_MANAGER, **REPLICAS)
STATUS = {**_entry("kube-controller-manager"), "subresource": "status"}


@pytest.fixture
def cluster(fake_cluster: FakeCluster) -> FakeCluster:
    item = deployment("shop")
    item["metadata"] |= {"managedFields": [GITOPS], "labels": {"app": "shop"}}
    fake_cluster.server.seed(item, namespace="shop")
    return fake_cluster


def _recorded(cluster: FakeCluster, folder: Path) -> dict[str, Any]:
    journal = Journal(cluster, folder / "undo.jsonl", "run1", "one", cluster.clock)
    record_owners(cluster.api, journal, "shop", ["deployment/shop"])
    (entry,) = journal.entries
    return entry.parameters


def _owners(cluster: FakeCluster) -> list[str]:
    found = cluster.api.get(DEPLOYMENTS, "shop", "shop")
    return [entry["manager"] for entry in found["metadata"]["managedFields"]]


def _patch(cluster: FakeCluster, *owners: Object, **spec: Any) -> None:
    cluster.api.patch(DEPLOYMENTS, "shop", {"metadata": {"managedFields": [*owners]}, "spec": spec}, "shop")


def test_owners_are_as_before(cluster: FakeCluster, tmp_path: Path) -> None:
    parameters = _recorded(cluster, tmp_path)
    _patch(cluster, _entry("argocd"), OURS, STATUS)
    assert undo_owners(cluster, parameters) == "the fields of deployment/shop belong to their owners again"
    found = cluster.api.get(DEPLOYMENTS, "shop", "shop")["metadata"]["managedFields"]
    assert found == [GITOPS, STATUS]
    assert undo_owners(cluster, parameters) == "deployment/shop has the field owners that it had"


def test_changed_object_keeps_its_owners(cluster: FakeCluster, tmp_path: Path) -> None:
    parameters = _recorded(cluster, tmp_path)
    _patch(cluster, _entry("argocd"), OURS, replicas=7)
    assert "was changed since by another client" in undo_owners(cluster, parameters)
    assert _owners(cluster) == ["argocd", FIELD_MANAGER]


def test_revision_of_a_rollback_is_no_change(cluster: FakeCluster, tmp_path: Path) -> None:
    parameters = _recorded(cluster, tmp_path)
    metadata = {"annotations": {"deployment.kubernetes.io/revision": "3"}, "managedFields": [OURS]}
    cluster.api.patch(DEPLOYMENTS, "shop", {"metadata": metadata}, "shop")
    undo_owners(cluster, parameters)
    assert _owners(cluster) == ["argocd"]


def test_new_owner_of_other_fields_stays(cluster: FakeCluster, tmp_path: Path) -> None:
    parameters = _recorded(cluster, tmp_path)
    _patch(cluster, _entry("kubectl"), OURS)
    undo_owners(cluster, parameters)
    assert _owners(cluster) == ["argocd", "kubectl"]


def test_object_that_the_harness_owned_before_is_left(cluster: FakeCluster, tmp_path: Path) -> None:
    _patch(cluster, OURS)
    undo_owners(cluster, _recorded(cluster, tmp_path))
    assert _owners(cluster) == [FIELD_MANAGER]


def test_object_that_is_gone_needs_nothing(cluster: FakeCluster, tmp_path: Path) -> None:
    parameters = _recorded(cluster, tmp_path)
    cluster.api.delete(DEPLOYMENTS, "shop", "shop")
    assert undo_owners(cluster, parameters) == "deployment/shop is gone: it has no field owners"


def test_change_in_between_is_tried_again(cluster: FakeCluster, tmp_path: Path) -> None:
    parameters = _recorded(cluster, tmp_path)
    _patch(cluster, OURS)
    cluster.server.fail_next(409, method="PATCH")
    with pytest.raises(NotYet, match="deployment/shop has changed meanwhile"):
        undo_owners(cluster, parameters)


def test_journal_has_no_values_of_the_object(cluster: FakeCluster, tmp_path: Path) -> None:
    container = {"name": "shop", "image": "shop:1", "env": [{"name": "TOKEN", "value": "hunter2"}]}
    _patch(cluster, template={"spec": {"containers": [container]}})
    _recorded(cluster, tmp_path)
    assert "hunter2" not in (tmp_path / "undo.jsonl").read_text()
