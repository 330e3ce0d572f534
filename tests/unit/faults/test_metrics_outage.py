"""Taking the metrics of pods away: what is needed for it, what shows it, and what the undo restores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import API_SERVICES, AUTOSCALERS
from harness.common.errors import ClusterRefused, Inconclusive
from harness.faults.base import FaultContext
from harness.faults.metrics_outage import MARK, MetricsOutage
from harness.model.timeline import Victim
from harness.safety.guard import PROTECTED_LABEL
from harness.safety.undo.entry import UndoEntry
from tests.fake_metrics import API, METRIC, METRICS_SERVER, condition, metrics_server
from tests.fake_world import NAMESPACE, World

GONE = MetricsOutage(of="hpa/podinfo")
SLOW = MetricsOutage(of="hpa/podinfo", served_by="service/slow-metrics")


@pytest.fixture
def measured(world: World) -> World:
    metrics_server(world)
    return world


def _api(world: World) -> Object:
    return world.cluster.server.store.get(API_SERVICES, "", API)


def _change(world: World, change: Callable[[Object], Object], part: str = "") -> None:
    world.cluster.server.store.update(API_SERVICES, "", API, change, part)


def _inject(world: World, fault: MetricsOutage) -> tuple[FaultContext, tuple[Victim, ...]]:
    context = world.context()
    victims = fault.choose(context)
    fault.inject(context, victims)
    return context, victims


def _undo(world: World, context: FaultContext) -> str:
    return MetricsOutage.undo(world.cluster, context.journal.entries[0].parameters)


def _metrics(world: World, *metrics: Object, active: bool = True) -> None:
    status = {**condition("ScalingActive", active), "currentMetrics": list(metrics)}
    store = world.cluster.server.store
    store.update(AUTOSCALERS, NAMESPACE, "podinfo", lambda item: {**item, "status": status}, "status")


def test_outage_points_to_a_service_that_does_not_exist(measured: World) -> None:
    context, victims = _inject(measured, GONE)
    spec = _api(measured)["spec"]
    assert spec["service"]["namespace"] == NAMESPACE
    assert spec["service"]["name"].startswith("none-")
    assert spec["caBundle"] == "QUJD"
    shown = GONE.evidence(context, victims)
    assert shown.proven
    assert shown.text.endswith("which is not there, hpa/podinfo has lost its metrics")
    assert GONE.unfinished(context, victims) == f"{API} is not Available again"
    assert _undo(measured, context) == f"{API} is served by service/metrics-server in kube-system again"
    assert GONE.unfinished(context, victims) == ""


def test_substitute_needs_no_authority_until_the_undo(measured: World) -> None:
    before = _api(measured)["spec"]
    context, victims = _inject(measured, SLOW)
    spec = _api(measured)["spec"]
    assert spec["service"] == {"namespace": NAMESPACE, "name": "slow-metrics", "port": 443}
    assert spec["insecureSkipTLSVerify"] is True
    assert not spec.get("caBundle")
    assert SLOW.evidence(context, victims).text == f"{API} is served by service/slow-metrics in {NAMESPACE} (Available)"
    _undo(measured, context)
    assert _api(measured)["spec"] == before
    assert MARK not in (_api(measured)["metadata"].get("annotations") or {})


def test_autoscaler_must_have_noticed(measured: World) -> None:
    context, victims = _inject(measured, GONE)
    _metrics(measured, METRIC)
    shown = GONE.evidence(context, victims)
    assert not shown.proven
    assert shown.text.endswith("but hpa/podinfo has not noticed yet")
    # One of several metrics is enough for the controller to stay active.
    _metrics(measured, {}, {"type": "Pods"})
    assert GONE.evidence(context, victims).proven


def test_outage_is_unproven_while_the_api_is_available(measured: World) -> None:
    measured.cluster.server.store.reactors.pop()
    context, victims = _inject(measured, GONE)
    assert GONE.evidence(context, victims).text.endswith("and still Available")


def test_service_of_another_client_stays(measured: World) -> None:
    context, _ = _inject(measured, GONE)
    other = {"namespace": "kube-system", "name": "another", "port": 443}
    _change(measured, lambda item: {**item, "spec": {**item["spec"], "service": other}})
    assert _undo(measured, context) == f"{API} was changed by another client since, not touched"
    assert _api(measured)["spec"]["service"] == other
    assert MARK not in (_api(measured)["metadata"].get("annotations") or {})


def _marked(item: Object) -> Object:
    return {**item, "metadata": {**item["metadata"], "annotations": {MARK: "x"}}}


def _protected(item: Object) -> Object:
    return {**item, "metadata": {**item["metadata"], "labels": {PROTECTED_LABEL: ""}}}


def _built_in(item: Object) -> Object:
    return {**item, "spec": {**item["spec"], "service": None}}


@pytest.mark.parametrize(
    ("change", "part", "error", "why"),
    [
        (_marked, "", Inconclusive, "an outage is in effect already"),
        (_protected, "", ClusterRefused, f"has the label {PROTECTED_LABEL}"),
        (_built_in, "", Inconclusive, f"no Service of the cluster serves {API}"),
        (lambda item: {**item, "status": {}}, "status", Inconclusive, "not Available already"),
    ],
)
def test_api_must_be_whole_before(
    world: World, change: Callable[[Object], Object], part: str, error: type[Exception], why: str
) -> None:
    metrics_server(world)
    world.cluster.server.store.reactors.pop()
    _change(world, change, part)
    with pytest.raises(error, match=why):
        GONE.choose(world.context())


@pytest.mark.parametrize(("metrics", "active"), [((), True), (({"type": "Pods"},), True), ((METRIC,), False)])
def test_autoscaler_must_read_the_metrics_before(measured: World, metrics: tuple[Object, ...], active: bool) -> None:
    _metrics(measured, *metrics, active=active)
    with pytest.raises(Inconclusive, match="has no current metric of CPU or memory"):
        GONE.choose(measured.context())


def test_without_the_autoscaler_nothing_is_chosen(world: World) -> None:
    with pytest.raises(Inconclusive, match="there is no hpa/podinfo in namespace shop"):
        GONE.choose(world.context())


def test_change_by_another_client_stops_the_injection(measured: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = measured.context()
    victims, write = GONE.choose(context), context.journal.write

    def interfere(*entry: Any) -> UndoEntry:
        _change(measured, lambda item: {**item, "spec": {**item["spec"], "versionPriority": 1}})
        return write(*entry)

    monkeypatch.setattr(context.journal, "write", interfere)
    with pytest.raises(Inconclusive, match="was changed by another client meanwhile"):
        GONE.inject(context, victims)
    assert _api(measured)["spec"]["service"] == {**METRICS_SERVER, "port": 443}


@pytest.mark.parametrize("fields", [{"of": "deployment/shop"}, {"of": "hpa/shop", "servedBy": "slow-metrics"}])
def test_other_kinds_of_objects_are_not_accepted(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="String should match pattern"):
        MetricsOutage.model_validate(fields)
