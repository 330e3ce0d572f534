"""The endpoint probe tells which pods a Service sends traffic to, however many slices say so."""

from __future__ import annotations

from typing import Any

from harness.common.clock import parse_kubernetes_time
from harness.probes.endpoints import EndpointProbe


def endpoint(uid: str | None, address: str = "198.18.65.1", **conditions: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"addresses": [address], "conditions": conditions}
    return {**found, "targetRef": {"kind": "Pod", "name": "x", "uid": uid}} if uid else found


def piece(name: str, *endpoints: dict[str, Any], service: str = "web", **meta: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": service} if service else {}
    return {"metadata": {"name": name, "labels": labels, **meta}, "endpoints": list(endpoints) or None}


def told(probe: EndpointProbe, event: str, item: dict[str, Any]) -> dict[str, Any] | None:
    sightings = list(probe.see(event, item))
    assert len(sightings) <= 1
    return sightings[0].value if sightings else None


def test_ready_and_serving_differ_and_absent_conditions_mean_yes() -> None:
    item = piece(
        "web-1",
        endpoint("good", ready=True, serving=True),
        endpoint("leaving", ready=False, serving=True, terminating=True),
        endpoint("down", ready=False, serving=False),
        endpoint("silent"),
    )
    assert told(EndpointProbe(), "SYNC", item) == {
        "ready": ["good", "silent"],
        "serving": ["good", "leaving", "silent"],
        "all": ["down", "good", "leaving", "silent"],
    }


def test_slices_of_a_service_add_up_and_count_each_pod_once() -> None:
    probe = EndpointProbe()
    told(probe, "SYNC", piece("web-v4", endpoint("a", ready=True)))
    both = told(probe, "ADDED", piece("web-v6", endpoint("a", ready=True), endpoint("b", ready=True)))
    assert both is not None
    assert both["ready"] == ["a", "b"]
    rest = told(probe, "DELETED", piece("web-v6", endpoint("a", ready=True), endpoint("b", ready=True)))
    assert rest is not None
    assert rest["ready"] == ["a"]


def test_services_are_separate_and_unowned_slices_are_ignored() -> None:
    probe = EndpointProbe()
    subjects = [
        sighting.subject
        for item in (
            piece("a", endpoint("x"), service="web"),
            piece("b", endpoint("x"), service="db"),
            piece("c", service=""),
        )
        for sighting in probe.see("SYNC", item)
    ]
    assert subjects == ["web", "db"]


def test_service_without_endpoints_is_reported_once() -> None:
    probe = EndpointProbe()
    told(probe, "SYNC", piece("web-1", endpoint("a")))
    assert told(probe, "MODIFIED", piece("web-1")) == {"ready": [], "serving": [], "all": []}
    assert told(probe, "MODIFIED", piece("web-1")) is None


def test_endpoint_without_a_pod_is_named_by_address() -> None:
    value = told(EndpointProbe(), "SYNC", piece("web-1", endpoint(None, address="198.18.0.9")))
    assert value is not None
    assert value["ready"] == ["198.18.0.9"]


def test_the_wall_time_is_what_triggered_the_controller() -> None:
    stamp = "2026-11-23T07:24:02.123456789Z"
    item = piece("w", endpoint("a"), annotations={"endpoints.kubernetes.io/last-change-trigger-time": stamp})
    (sighting,) = EndpointProbe().see("MODIFIED", item)
    assert sighting.wall == parse_kubernetes_time("2026-11-23T07:24:02.123456Z")


def test_a_service_without_any_slice_is_gone() -> None:
    probe = EndpointProbe()
    (there,) = probe.see("ADDED", piece("web-1"))
    (gone,) = probe.see("DELETED", piece("web-1"))
    assert ("gone" in there.value, gone.value["gone"]) == (False, True)
