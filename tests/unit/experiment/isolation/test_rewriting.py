"""References to namespaces inside objects, one rule a test."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from harness.experiment.isolation import Isolated, isolated

OWN = "rh-own"


def objects(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


BASE = """\
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: data}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
"""


def moved(text: str, **changes: Any) -> dict[str, Any]:
    """Return an object as it is deployed beside BASE: namespaces shop (main) and data."""
    (item,) = objects(text)
    return isolated([*objects(BASE), {**item, **changes}], OWN).objects[-1]


def container(**fields: Any) -> dict[str, Any]:
    spec = {"template": {"spec": {"containers": [{"name": "a", **fields}]}}}
    item = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "namespace": "shop"}, "spec": spec}
    made = isolated([*objects(BASE), item], OWN).objects[-1]
    return made["spec"]["template"]["spec"]["containers"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://cart.shop.svc:8080/x", "http://cart.rh-own.svc:8080/x"),
        ("cart.shop.svc.cluster.local", "cart.rh-own.svc.cluster.local"),
        ("db-0.db.data.svc,db-1.db.data.svc", "db-0.db.rh-own-data.svc,db-1.db.rh-own-data.svc"),
        ("unknown.shop.svc", "unknown.rh-own.svc"),
        ("$(NAME).shop.svc", "$(NAME).rh-own.svc"),
        ("cart.shop:8080", "cart.rh-own:8080"),
        ("redis://:pw@db.data:6379/0", "redis://:pw@db.rh-own-data:6379/0"),
        ("db-0.db.data:5432", "db-0.db.rh-own-data:5432"),
        ("system:serviceaccount:shop:web", "system:serviceaccount:rh-own:web"),
        # Not the whole name, not this workload's, or something else.
        ("cart.shop.example.com", "cart.shop.example.com"),
        ("cart.shopping", "cart.shopping"),
        ("my-cart.shop", "my-cart.shop"),
        ("other.shop", "other.shop"),
        ("/etc/cart.shop", "/etc/cart.shop"),
        ("cart.shop-2.svc", "cart.shop-2.svc"),
        ("shop", "shop"),
        ("pay.prod.svc", "pay.prod.svc"),
        ("kubernetes.default.svc", "kubernetes.default.svc"),
    ],
)
def test_host_names_in_environment_variables(text: str, expected: str) -> None:
    assert container(env=[{"name": "URL", "value": text}])["env"][0]["value"] == expected


@pytest.mark.parametrize("name", ["NAMESPACE", "POD_NAMESPACE", "watchNamespaces"])
def test_variable_named_after_a_namespace_is_rewritten(name: str) -> None:
    assert container(env=[{"name": name, "value": "shop,data"}])["env"][0]["value"] == "rh-own,rh-own-data"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--namespace=shop"], ["--namespace=rh-own"]),
        (["--leader-election-namespace", "data"], ["--leader-election-namespace", "rh-own-data"]),
        (["--watch-namespaces=shop,data,prod"], ["--watch-namespaces=rh-own,rh-own-data,prod"]),
        (["--publish-service=shop/cart"], ["--publish-service=rh-own/cart"]),
        (["--image=shop/unknown"], ["--image=shop/unknown"]),
        (["kubectl -n shop get pods"], ["kubectl -n rh-own get pods"]),
        (["--app=shop", "shop"], ["--app=shop", "shop"]),
    ],
)
def test_arguments_are_rewritten(args: list[str], expected: list[str]) -> None:
    assert container(args=args)["args"] == expected
    assert container(command=args)["command"] == expected


def test_texts_of_config_maps_are_rewritten() -> None:
    text = 'url: http://cart.shop/\nnamespace: shop\n"namespace": "data",\napp: shop\nPOD_NAMESPACE=shop\r\n'
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    config["data"] = {"app.conf": text, "namespace": "data", "name": "shop"}
    data = isolated([*objects(BASE), config], OWN).objects[-1]["data"]
    expected = 'url: http://cart.rh-own/\nnamespace: rh-own\n"namespace": "rh-own-data",\napp: shop\n'
    assert data == {"app.conf": f"{expected}POD_NAMESPACE=rh-own\r\n", "namespace": "rh-own-data", "name": "shop"}


def test_encoded_secret_is_replaced_by_text_if_it_refers() -> None:
    def encoded(text: bytes) -> str:
        return base64.b64encode(text).decode()

    data = {"dsn": encoded(b"postgres://db.data/x"), "key": encoded(b"\xff\x00"), "word": encoded(b"shop")}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data}
    made = isolated([*objects(BASE), secret], OWN).objects[-1]
    assert made["stringData"] == {"dsn": "postgres://db.rh-own-data/x"}
    assert made["data"] == {key: data[key] for key in ("key", "word")}


def test_subjects_of_role_bindings_are_rewritten() -> None:
    text = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: web, namespace: shop}
subjects:
- {kind: ServiceAccount, name: web, namespace: shop}
- {kind: ServiceAccount, name: web, namespace: prod}
- {kind: Group, name: "system:serviceaccounts:data"}
"""
    made = moved(text)
    assert "namespace" not in made["metadata"]
    assert [each.get("namespace", each["name"]) for each in made["subjects"]] == [
        "rh-own",
        "prod",
        "system:serviceaccounts:rh-own-data",
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (
            """\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: w}
webhooks: [{name: a.b.c, clientConfig: {service: {name: cart, namespace: shop}}}]
""",
            ("webhooks", 0, "clientConfig", "service", "namespace"),
        ),
        (
            """\
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.x.io}
spec: {service: {name: cart, namespace: shop}}
""",
            ("spec", "service", "namespace"),
        ),
        (
            """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: a.b.c}
spec:
  names: {kind: A, plural: a}
  conversion: {strategy: Webhook, webhook: {clientConfig: {service: {name: cart, namespace: shop}}}}
""",
            ("spec", "conversion", "webhook", "clientConfig", "service", "namespace"),
        ),
        (
            """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}]
""",
            ("spec", "ingress", 0, "from", 0, "namespaceSelector", "matchLabels", "kubernetes.io/metadata.name"),
        ),
        (
            """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  ingress:
  - from:
    - namespaceSelector:
        matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [shop, data]}]
""",
            ("spec", "ingress", 0, "from", 0, "namespaceSelector", "matchExpressions", 0, "values", 0),
        ),
        (
            """\
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: m, namespace: shop}
spec: {namespaceSelector: {matchNames: [shop]}}
""",
            ("spec", "namespaceSelector", "matchNames", 0),
        ),
        (
            """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec: {parentRefs: [{name: gw, namespace: shop}]}
""",
            ("spec", "parentRefs", 0, "namespace"),
        ),
    ],
)
def test_references_of_kinds_are_rewritten(text: str, place: tuple[str | int, ...]) -> None:
    found: Any = moved(text)
    for key in place:
        found = found[key]
    assert found == OWN


def test_labels_and_selectors_stay() -> None:
    labels = {"namespace": "shop", "app": "cart.shop.svc"}
    spec = {"selector": labels}
    made = moved("{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}}", spec=spec)
    assert made["spec"]["selector"] == labels


def test_schemas_of_definitions_stay() -> None:
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": {"description": "such as cart.shop.svc"}}}]
    text = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a.b.c}}"
    spec = {"names": {"kind": "A"}, "versions": versions}
    assert moved(text, spec=spec)["spec"]["versions"] == versions


def test_annotation_with_an_object_of_the_workload_is_rewritten() -> None:
    annotations = {"cert-manager.io/inject-ca-from": "shop/cart", "team": "shop/unknown"}
    made = moved(
        "{apiVersion: v1, kind: Service, metadata: {name: s}}", metadata={"name": "s", "annotations": annotations}
    )
    assert made["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": "rh-own/cart", "team": "shop/unknown"}


def test_objects_given_are_not_changed() -> None:
    given = objects(BASE)
    isolated(given, OWN)
    assert given == objects(BASE)


def test_isolating_twice_changes_nothing_more() -> None:
    once = isolated(objects(BASE), OWN)
    assert isolated(once.objects, OWN, once.layout).objects[0] == once.objects[0]


def test_every_reference_is_noted_with_its_place() -> None:
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "cart.shop.svc"}}
    found: Isolated = isolated([*objects(BASE), item], OWN)
    assert [(each.item, each.place, each.found) for each in found.rewrites] == [("configmap/c", ("data", "a"), "shop")]
