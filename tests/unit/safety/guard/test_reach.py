"""What of a workload works on more than the experiment's own namespace, told by its kind."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube import resources
from harness.cluster.kube.resources import Resource
from harness.safety.guard import is_cluster_wide, is_harmless

RBAC = "rbac.authorization.k8s.io/v1"


def _item(api_version: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **fields}


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("v1", "Namespace"),
        ("v1", "Node"),
        ("v1", "PersistentVolume"),
        (RBAC, "ClusterRole"),
        ("rbac.authorization.k8s.io/v1beta1", "ClusterRoleBinding"),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
        ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("apiregistration.k8s.io/v1", "APIService"),
        ("networking.k8s.io/v1", "IngressClass"),
    ],
)
def test_dangerous_kinds_are_cluster_wide(api_version: str, kind: str) -> None:
    assert is_cluster_wide(_item(api_version, kind))
    assert not is_harmless(_item(api_version, kind))


@pytest.mark.parametrize(
    ("api_version", "kind"), [("v1", "ConfigMap"), (RBAC, "RoleBinding"), ("apps/v1", "Deployment")]
)
def test_namespaced_kinds_are_not_cluster_wide(api_version: str, kind: str) -> None:
    assert is_cluster_wide(_item(api_version, kind)) is False


@pytest.mark.parametrize(
    ("api_version", "kind"), [("example.org/v1", "Widget"), ("example.org/v1", "Deployment"), ("v1", "Novelty")]
)
def test_unknown_kinds_need_a_cluster_to_classify(api_version: str, kind: str) -> None:
    assert is_cluster_wide(_item(api_version, kind)) is None


def test_builtin_resources_are_classified_correctly() -> None:
    known = [each for each in vars(resources).values() if isinstance(each, Resource)]
    told = {each: is_cluster_wide(_item(each.group_version, each.kind)) for each in known}
    assert {each for each, wide in told.items() if wide is not None and wide is each.namespaced} == set()


@pytest.mark.parametrize(
    ("item", "harmless"),
    [
        (_item("storage.k8s.io/v1", "StorageClass"), True),
        (
            _item(
                "storage.k8s.io/v1",
                "StorageClass",
                metadata={"name": "x", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            ),
            False,
        ),
        (_item("scheduling.k8s.io/v1", "PriorityClass", preemptionPolicy="Never"), True),
        (_item("scheduling.k8s.io/v1", "PriorityClass"), False),
        (_item("scheduling.k8s.io/v1", "PriorityClass", preemptionPolicy="Never", globalDefault=True), False),
    ],
)
def test_class_used_only_by_explicit_reference_is_harmless(item: dict[str, Any], harmless: bool) -> None:
    assert is_cluster_wide(item)
    assert is_harmless(item) is harmless
