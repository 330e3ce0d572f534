"""The order in which objects are applied."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.extensions import DefinitionController
from harness.common.clock import FakeClock
from harness.common.errors import Inconclusive
from harness.common.timeouts import KINDS_SERVED
from harness.engine.steps import deploy
from harness.engine.steps.apply_order import Stages

ADMISSION = "admissionregistration.k8s.io/v1"


def thing(kind: str, version: str = "v1", **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": kind.lower()}, **rest}


def definition(**spec: Any) -> dict[str, Any]:
    names = {"plural": "widgets", "kind": "Widget"}
    whole = {"group": "example.org", "names": names, "versions": [{"name": "v1"}], **spec}
    return thing("CustomResourceDefinition", "apiextensions.k8s.io/v1", spec=whole)


def kinds(objects: tuple[dict[str, Any], ...]) -> list[str]:
    return [item["kind"] for item in objects]


WIDGET = thing("Widget", "example.org/v1")


def test_usual_objects_are_sorted_by_what_they_need() -> None:
    given = [WIDGET, thing("Deployment", "apps/v1"), thing("LimitRange"), thing("Service"), thing("ServiceAccount")]
    stages = Stages.of([*given, definition()])
    assert kinds(stages.definitions) == ["CustomResourceDefinition"]
    assert kinds(stages.usual) == ["LimitRange", "ServiceAccount", "Service", "Deployment", "Widget"]
    assert stages.late == ()


@pytest.mark.parametrize("kind", ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"])
@pytest.mark.parametrize(("group", "late"), [("example.org", True), ("*", True), ("apps", False)])
def test_custom_resource_comes_after_its_webhook(kind: str, group: str, *, late: bool) -> None:
    hook = thing(kind, ADMISSION, webhooks=[{"rules": [{"apiGroups": [group]}]}])
    stages = Stages.of([WIDGET, hook, thing("Deployment", "apps/v1")])
    assert kinds(stages.late) == ([kind, "Widget"] if late else [kind])
    assert kinds(stages.usual) == (["Deployment"] if late else ["Deployment", "Widget"])


def test_converted_custom_resource_is_late() -> None:
    assert kinds(Stages.of([definition(conversion={"strategy": "Webhook"}), WIDGET]).late) == ["Widget"]


def test_api_service_is_late() -> None:
    assert kinds(Stages.of([thing("APIService", "apiregistration.k8s.io/v1")]).late) == ["APIService"]


def test_kinds_are_waited_for_until_they_are_served() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.server.store.reactors.append(DefinitionController(cluster.server))
    given = [definition(), WIDGET]
    deploy.apply_workload(cluster.api, "x", given[:1])
    deploy.wait_defined(cluster.api, given[:1], cluster.clock)
    assert cluster.api.discover("example.org/v1", "Widget").namespaced is not None


def test_kind_that_is_never_served_ends_the_wait() -> None:
    cluster = FakeCluster(FakeClock())
    refused = {"type": "NamesAccepted", "status": "False", "message": "widgets is taken"}
    cluster.server.seed({**definition(), "status": {"conditions": [refused]}})
    begun = cluster.clock.monotonic()
    with pytest.raises(Inconclusive, match="customresourcedefinition is not established: widgets is taken"):
        deploy.wait_defined(cluster.api, [definition()], cluster.clock)
    assert cluster.clock.monotonic() - begun >= KINDS_SERVED


def test_webhook_that_does_not_answer_yet_is_retried() -> None:
    cluster = FakeCluster(FakeClock())
    cluster.server.seed(thing("Namespace"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})
    cluster.server.fail_next(500, message="failed calling webhook: no endpoints available", count=2, method="PATCH")
    deploy.apply_workload(cluster.api, "x", [thing("ConfigMap")], cluster.clock)
    cluster.server.fail_next(403, message="quota exceeded", method="PATCH")
    with pytest.raises(Inconclusive, match=r"configmap/configmap was rejected: .*quota exceeded"):
        deploy.apply_workload(cluster.api, "x", [thing("ConfigMap")], cluster.clock)
