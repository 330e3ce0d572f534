"""The state of a namespace before and after: every field that users write, and who changed it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.client import FIELD_MANAGER, Object
from harness.common.naming import RUN_LABEL
from harness.safety.cleanup.namespace_state import compare_objects


def _deployment(manager: str = "kubectl", **spec: Any) -> Object:
    fields = {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {'k:{"name":"shop"}': {}}}}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "shop",
            "uid": "1",
            "managedFields": [
                {"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields}
            ],
        },
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "shop", "image": "shop:1"}]}}, **spec},
        "status": {"replicas": 2},
    }


def test_equal_objects_have_no_differences() -> None:
    after = _deployment()
    after["metadata"] |= {"resourceVersion": "9", "generation": 7}
    after["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "3"}
    after["status"] = {"replicas": 1}
    found = compare_objects([_deployment()], [after])
    assert (found.left, found.others, found.compared) == ((), (), 1)


@pytest.mark.parametrize(("manager", "ours"), [(FIELD_MANAGER, True), ("kubectl", False)])
def test_the_writer_of_a_field_decides(manager: str, ours: bool) -> None:
    found = compare_objects([_deployment(manager)], [_deployment(manager, replicas=1)])
    text = ("deployment/shop: spec.replicas: 2 → 1",)
    assert (found.left, found.others) == ((text, ()) if ours else ((), text))


def test_item_of_a_list_belongs_to_the_writer_of_the_list() -> None:
    template = {"spec": {"containers": [{"name": "shop", "image": "shop:2"}]}}
    found = compare_objects([_deployment(FIELD_MANAGER)], [_deployment(FIELD_MANAGER, template=template)])
    assert found.left == ("deployment/shop: spec.template.spec.containers.[0].image: shop:1 → shop:2",)


def test_field_of_another_writer_is_a_note() -> None:
    after = _deployment(FIELD_MANAGER, paused=True)
    after["metadata"]["managedFields"].append(
        {"manager": "kubectl", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:paused": {}}}}
    )
    found = compare_objects([_deployment(FIELD_MANAGER)], [after])
    assert (found.left, found.others) == ((), ("deployment/shop: spec.paused: (none) → True",))


def test_field_that_the_harness_still_owns_is_a_leftover() -> None:
    text = "deployment/shop: metadata.managedFields: resilience-harness owns fields"
    assert compare_objects([_deployment()], [_deployment(FIELD_MANAGER)]).left == (text,)
    changed = _deployment(FIELD_MANAGER, paused=True)
    changed["metadata"]["managedFields"].append(
        {"manager": "kubectl", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:paused": {}}}}
    )
    found = compare_objects([_deployment()], [changed])
    assert found.left == ()
    assert text in found.others


def test_removed_field_belongs_to_the_last_writer() -> None:
    before = _deployment(FIELD_MANAGER, paused=True)
    assert compare_objects([before], [_deployment(FIELD_MANAGER)]).left
    assert compare_objects([before], [_deployment("kubectl")]).others


def test_annotation_of_a_fault_is_a_leftover() -> None:
    after = _deployment(FIELD_MANAGER)
    after["metadata"]["annotations"] = {"resilience.harness/bad-rollout": "x"}
    after["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"] = {
        "f:annotations": {"f:resilience.harness/bad-rollout": {}}
    }
    (text,) = compare_objects([_deployment(FIELD_MANAGER)], [after]).left
    assert "metadata.annotations.resilience.harness/bad-rollout" in text


def test_object_with_the_label_of_a_run_is_a_leftover() -> None:
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "load", "uid": "2", "labels": {RUN_LABEL: "r"}}}
    assert compare_objects([], [made]).left == ("service/load was not there before",)
    made["metadata"]["labels"] = {}
    assert compare_objects([], [made]).others == ("service/load was not there before",)


def test_missing_and_replaced_objects_are_found() -> None:
    assert compare_objects([_deployment()], []).others == ("deployment/shop is gone",)
    other = _deployment()
    other["metadata"]["uid"] = "2"
    assert compare_objects([_deployment()], [other]).others[0].endswith("another object with the same name")


def test_objects_with_a_controller_are_left_out() -> None:
    owned = _deployment(replicas=7)
    owned["metadata"]["ownerReferences"] = [{"kind": "Shop", "name": "shop", "uid": "0", "controller": True}]
    assert compare_objects([], [owned]).compared == 0
    assert compare_objects([], [owned]).others == ()


def test_label_of_the_namespace_is_never_a_leftover() -> None:
    fields = [{"manager": FIELD_MANAGER, "fieldsV1": {"f:metadata": {"f:labels": {}}}}]
    labels = {"resilience.harness/opt-in": "true"}
    metadata = {"name": "shop", "uid": "1", "managedFields": fields}
    before = {"apiVersion": "v1", "kind": "Namespace", "metadata": {**metadata, "labels": labels}}
    after = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    found = compare_objects([before], [after])
    assert found.left == ()
    assert found.others
