"""Whole workloads, in the shapes in which people publish them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from harness.experiment.isolation import Layout, isolated

OWN = "rh-own"


def objects(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def thing(kind: str, name: str, namespace: str = "", **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "apps/v1" if kind == "Deployment" else "v1", "kind": kind, "metadata": metadata, **rest}


def test_workload_without_namespaces_stays_as_it_is() -> None:
    given = [thing("Service", "a"), thing("Deployment", "a")]
    found = isolated(given, OWN)
    assert list(found.objects) == given
    assert [(own.name, own.replaces) for own in found.namespaces] == [(OWN, "")]
    assert found.notes() == []


def test_namespace_with_the_most_objects_is_the_main_one() -> None:
    given = [thing("Service", "a", "first"), thing("Service", "b", "most"), thing("Deployment", "b", "most")]
    found = isolated(given, OWN)
    assert [own.name for own in found.namespaces] == [OWN, f"{OWN}-first"]
    assert [item["metadata"].get("namespace") for item in found.objects] == [f"{OWN}-first", None, None]


def test_first_of_equal_namespaces_is_the_main_one() -> None:
    assert Layout.of([thing("Service", "a", "one"), thing("Service", "b", "two")]).names == ("one", "two")


def test_objects_without_a_namespace_belong_to_the_main_one() -> None:
    found = isolated([thing("Service", "a", "shop"), thing("Service", "b")], OWN)
    assert [item["metadata"].get("namespace") for item in found.objects] == [None, None]


def test_reference_to_default_means_objects_without_a_namespace() -> None:
    config = thing("ConfigMap", "c", data={"a": "b.default.svc", "api": "kubernetes.default.svc"})
    found = isolated([thing("Service", "b"), config], OWN)
    assert found.objects[1]["data"] == {"a": f"b.{OWN}.svc", "api": "kubernetes.default.svc"}
    assert found.notes() == [f"namespace default → {OWN} (2 objects, 1 reference)"]


def test_reference_to_default_stays_if_every_object_is_elsewhere() -> None:
    config = thing("ConfigMap", "c", "shop", data={"a": "b.default.svc"})
    found = isolated([config], OWN)
    assert found.objects[0]["data"] == {"a": "b.default.svc"}
    assert found.notes()[-1] == (
        "not isolated: the workload refers to namespace default, which it does not contain "
        "(b.default.svc in configmap/c)"
    )


def test_namespace_object_gives_its_labels_and_is_not_applied() -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "kubernetes.io/metadata.name": "shop"}
    namespace = thing("Namespace", "shop")
    namespace["metadata"] |= {"labels": labels, "annotations": {"team": "a"}}
    found = isolated([namespace, thing("Service", "a", "shop")], OWN)
    assert [item["kind"] for item in found.objects] == ["Service"]
    (own,) = found.namespaces
    assert (own.labels, own.annotations) == ({"pod-security.kubernetes.io/enforce": "restricted"}, {"team": "a"})
    assert found.notes() == [f"namespace shop → {OWN} (1 object, 1 label)"]


def test_declared_namespace_without_objects_is_made_too() -> None:
    found = isolated([thing("Namespace", "later"), thing("Service", "a", "shop")], OWN)
    assert [own.name for own in found.namespaces] == [OWN, f"{OWN}-later"]


def test_declared_namespace_is_that_of_objects_without_one() -> None:
    found = isolated([thing("Namespace", "shop"), thing("ConfigMap", "c", data={"a": "x.shop.svc"})], OWN)
    assert found.objects[0]["data"] == {"a": f"x.{OWN}.svc"}


def test_twin_keeps_the_namespaces_of_the_published_workload() -> None:
    given = [thing("Service", "a", "one"), thing("Service", "b", "two"), thing("Service", "c", "two")]
    found = isolated(given[:1], OWN, Layout.of(given))
    assert [own.replaces for own in found.namespaces] == ["two", "one"]
    assert found.objects[0]["metadata"]["namespace"] == f"{OWN}-one"


def test_reference_to_a_removed_object_stays_inside() -> None:
    """Else a twin without its database would use the published one."""
    config = thing("ConfigMap", "c", "shop", data={"a": "db.data:5432"})
    given = [config, thing("Service", "x", "shop"), thing("Service", "db", "data")]
    found = isolated(given[:1], OWN, Layout.of(given))
    assert found.objects[0]["data"] == {"a": f"db.{OWN}-data:5432"}


@pytest.mark.parametrize("kind", ["ClusterRole", "StorageClass"])
def test_namespace_of_a_cluster_scoped_object_is_left_out(kind: str) -> None:
    group = "rbac.authorization.k8s.io/v1" if kind == "ClusterRole" else "storage.k8s.io/v1"
    found = isolated([{**thing(kind, "a", "shop"), "apiVersion": group}], OWN)
    assert found.objects[0]["metadata"] == {"name": "a"}
    assert [own.replaces for own in found.namespaces] == [""]


def test_fixed_addresses_are_assigned_by_the_cluster() -> None:
    spec = {"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "loadBalancerIP": "1.2.3.4", "ports": [{"port": 1}]}
    found = isolated([thing("Service", "a", spec=spec)], OWN)
    assert found.objects[0]["spec"] == {"ports": [{"port": 1}]}
    assert found.notes()[0].startswith("assigned by the cluster instead of fixed: clusterIPs ['10.96.0.9'] of service")


def test_headless_service_stays_headless() -> None:
    spec = {"clusterIP": "None", "clusterIPs": ["None"]}
    found = isolated([thing("Service", "a", spec=spec)], OWN)
    assert (found.objects[0]["spec"], found.notes()) == (spec, [])


def test_fixed_node_port_stays() -> None:
    spec = {"type": "NodePort", "ports": [{"port": 1, "nodePort": 30080}]}
    assert isolated([thing("Service", "a", spec=spec)], OWN).objects[0]["spec"] == spec


def test_fixed_certificate_is_noted() -> None:
    config = {"service": {"name": "hook", "namespace": "shop"}, "caBundle": "LS0t"}
    hook = {**thing("ValidatingWebhookConfiguration", "hook"), "webhooks": [{"name": "a.b.c", "clientConfig": config}]}
    hook["apiVersion"] = "admissionregistration.k8s.io/v1"
    found = isolated([thing("Service", "hook", "shop"), hook], OWN)
    assert found.notes()[-1] == (
        "the certificate for hook.shop.svc does not fit the new namespace, unless it is issued in the run: "
        "validatingwebhookconfiguration/hook has a fixed caBundle"
    )
    del config["caBundle"]
    assert "caBundle" not in "".join(isolated([thing("Service", "hook", "shop"), hook], OWN).notes())


def test_generated_name_is_noted() -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "load-ab12c", "generateName": "load-"}}
    found = isolated([job], OWN)
    assert found.objects[0]["metadata"] == {"name": "load-ab12c"}
    assert found.notes() == ["job/load-ab12c is named after its generateName load-"]


OPERATOR = """\
apiVersion: v1
kind: Namespace
metadata: {name: queue-system, labels: {control-plane: manager}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: manager, namespace: queue-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: leader, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: leader, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: leader}
subjects: [{kind: ServiceAccount, name: manager, namespace: queue-system}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: manager, namespace: queue-system}
spec:
  template:
    spec:
      containers:
      - name: manager
        args: [--leader-election-namespace=kube-system, --dns=webhook.queue-system.svc]
---
apiVersion: v1
kind: Service
metadata: {name: webhook, namespace: queue-system}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: serving, namespace: queue-system}
spec: {dnsNames: [webhook.queue-system.svc, webhook.queue-system.svc.cluster.local]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.queue.example, annotations: {cert-manager.io/inject-ca-from: queue-system/serving}}
spec: {service: {name: webhook, namespace: queue-system}}
"""


def test_operator_with_a_webhook_moves_as_a_whole() -> None:
    found = isolated(objects(OPERATOR), OWN)
    text = yaml.safe_dump_all(found.objects)
    assert "queue-system" not in text
    assert text.count("kube-system") == text.count(f"{OWN}-kube-system") == 3
    assert found.outside == ()
    assert found.notes() == [
        f"namespace queue-system → {OWN} (4 objects, 1 label, 6 references)",
        f"namespace kube-system → {OWN}-kube-system (2 objects, 1 reference)",
    ]


def test_long_names_of_namespaces_are_those_of_the_caller() -> None:
    given = [thing("Service", "a", "one"), thing("Service", "b", "two")]
    found = isolated(given, "x", places={"one": "x", "two": "y"})
    assert [own.name for own in found.namespaces] == ["x", "y"]
