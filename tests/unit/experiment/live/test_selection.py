"""Which objects of a namespace a selector means."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.experiment.live.selection import selected

POD = {
    "serviceAccountName": "shop",
    "imagePullSecrets": [{"name": "registry"}],
    "containers": [
        {
            "name": "shop",
            "image": "shop:1",
            "envFrom": [{"configMapRef": {"name": "settings"}}],
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "keys", "key": "a"}}}],
        }
    ],
    "volumes": [
        {"name": "files", "configMap": {"name": "files"}},
        {"name": "all", "projected": {"sources": [{"configMap": {"name": "projected"}}]}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
    ],
}


def _item(kind: str, name: str, labels: dict[str, str] | None = None, **fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels or {}}, **fields}


def _deployment(name: str, labels: dict[str, str], pod: dict[str, Any]) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    return _item("Deployment", name, labels, spec={"template": template})


OBJECTS = [
    _deployment("shop", {"team": "web"}, POD),
    _deployment("other", {}, {"containers": []}),
    *(_item("ConfigMap", name) for name in ("settings", "keys", "files", "projected", "unused")),
    _item("PersistentVolumeClaim", "data"),
    _item("ServiceAccount", "shop"),
    _item("ServiceAccount", "unused"),
    _item("Service", "shop", spec={"selector": {"app": "shop"}}),
    _item("Service", "other", spec={"selector": {"app": "other"}}),
    _item("Service", "external", spec={}),
    _item("PodDisruptionBudget", "shop", spec={"selector": {"matchLabels": {"app": "shop"}}}),
    _item("NetworkPolicy", "everything", spec={"podSelector": {}}),
    _item("HorizontalPodAutoscaler", "shop", spec={"scaleTargetRef": {"kind": "Deployment", "name": "shop"}}),
    _item("HorizontalPodAutoscaler", "other", spec={"scaleTargetRef": {"kind": "Deployment", "name": "other"}}),
    _item("RoleBinding", "shop", subjects=[{"name": "shop"}], roleRef={"kind": "Role", "name": "reader"}),
    _item("Role", "reader"),
    _item("Role", "unused"),
]


def test_selector_brings_what_belongs_to_the_pods() -> None:
    names = {reference(item) for item in selected(OBJECTS, "team=web")}
    assert names == {
        "deployment/shop",
        "configmap/settings",
        "configmap/keys",
        "configmap/files",
        "configmap/projected",
        "pvc/data",
        "serviceaccount/shop",
        "service/shop",
        "pdb/shop",
        "networkpolicy/everything",
        "hpa/shop",
        "rolebinding/shop",
        "role/reader",
    }


def test_no_selector_selects_everything() -> None:
    assert selected(OBJECTS, "") == OBJECTS


@pytest.mark.parametrize("selector", ["team=none", "!team,team"])
def test_selector_may_match_nothing(selector: str) -> None:
    assert selected(OBJECTS, selector) == []
