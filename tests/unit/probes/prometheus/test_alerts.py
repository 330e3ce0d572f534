"""A look at an alert: what Prometheus and Alertmanager answer, as observations."""

from __future__ import annotations

from typing import Any

import requests

from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import FakeClock
from harness.model.timeline import Observation, Timeline
from harness.probes.base import ProbeContext
from harness.probes.prometheus.alerts import AlertProbe, WantedAlert
from harness.prometheus.alertmanager import Alertmanager
from tests.unit.prometheus.scripted_prometheus import URL, Scripted, config

LABELS = {"alertname": "ShopDown", "severity": "page"}
WANTED = WantedAlert("alert ShopDown", "ShopDown", {"severity": "page"})


def rule(name: str = "ShopDown", *alerts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    evaluated = "2026-11-29T08:00:02.123456789Z"
    rule = {"type": "alerting", "name": name, "duration": 4, "lastEvaluation": evaluated, "alerts": list(alerts)}
    return {**rule, **fields}


def rules(*found: dict[str, Any]) -> dict[str, Any]:
    return {"status": "success", "data": {"groups": [{"name": "shop", "interval": 2, "rules": list(found)}]}}


def firing(**labels: str) -> dict[str, Any]:
    return {"labels": {**LABELS, **labels}, "state": "firing", "activeAt": "2026-11-29T08:00:00Z"}


def received(state: str = "active", **fields: Any) -> dict[str, Any]:
    status = {"state": state, "silencedBy": [], "inhibitedBy": [], **fields}
    return {"labels": LABELS, "status": status, "receivers": [{"name": "on-call"}]}


def look(answers: dict[str, Any], *, alertmanager: bool = True) -> list[Observation]:
    script = Scripted({"status/config": config("2s"), **answers})
    timeline, clock = Timeline(1000.0, 0.0), FakeClock()
    probe = AlertProbe(WANTED, script.prometheus(), Alertmanager(URL, script) if alertmanager else None)
    probe.look(ProbeContext(FakeCluster(), "shop", timeline, clock))
    return list(timeline)


def test_firing_alert_is_seen_in_both_servers() -> None:
    sends = {"status": "success", "data": {"activeAlertmanagers": [{"url": "http://a:9093/api/v2/alerts"}]}}
    answers = {"rules": rules(rule("ShopDown", firing())), "/api/v2/alerts": [received()], "alertmanagers": sends}
    seen, there = look(answers)
    assert (seen.series, seen.subject, seen.error) == ("alerts", "alert ShopDown", None)
    assert seen.value["scrape"] == 2.0
    assert seen.value["rules"] == [{"interval": 2.0, "for": 4.0, "evaluated": 1795939202.123456, "error": ""}]
    assert seen.value["alerts"] == [{"labels": LABELS, "state": "firing", "since": 1795939200.0, "matches": True}]
    assert seen.value["sends"] == ["http://a:9093/api/v2/alerts"]
    assert (there.series, there.subject) == ("alertmanager", "alert ShopDown")
    (alert,) = there.value["alerts"]
    assert (alert["state"], alert["receivers"], alert["matches"]) == ("active", ["on-call"], True)


def test_other_labels_do_not_match() -> None:
    """The server has no page with the Alertmanagers that it sends to, which is no error."""
    seen, _ = look({"rules": rules(rule("ShopDown", firing(severity="ticket"))), "/api/v2/alerts": []})
    assert [alert["matches"] for alert in seen.value["alerts"]] == [False]
    assert "sends" not in seen.value


def test_missing_rule_lists_the_others() -> None:
    recording = {"type": "recording", "name": "shop:up"}
    seen, _ = look({"rules": rules(rule("Other", firing()), recording), "/api/v2/alerts": []})
    assert (seen.value["rules"], seen.value["alerts"], seen.value["known"]) == ([], [], ["Other"])


def test_rule_before_its_first_evaluation_is_recognised() -> None:
    seen, _ = look({"rules": rules(rule(lastEvaluation="0001-01-01T00:00:00Z")), "/api/v2/alerts": []})
    assert seen.value["rules"][0]["evaluated"] == 0.0


def test_failed_requests_become_errors() -> None:
    seen, there = look({"rules": (500, {}), "/api/v2/alerts": requests.ConnectionError("refused")})
    assert seen.value is None
    assert "answers 500" in (seen.error or "")
    assert there.error == f"Alertmanager at {URL} does not answer: refused"


def test_unexpected_answers_become_errors() -> None:
    seen, there = look({"rules": {"status": "success", "data": {"groups": [{}]}}, "/api/v2/alerts": {"a": "b"}})
    assert "did not answer like Prometheus" in (seen.error or "")
    assert "did not answer like Alertmanager" in (there.error or "")


def test_refusal_of_alertmanager_is_quoted() -> None:
    _, there = look({"rules": rules(), "/api/v2/alerts": (403, b"forbidden")})
    assert there.error == f"Alertmanager at {URL} answers 403: forbidden"


def test_alertmanager_that_is_not_needed_is_not_asked() -> None:
    (seen,) = look({"rules": rules(rule())}, alertmanager=False)
    assert seen.series == "alerts"


def test_other_alerts_of_alertmanager_are_left_out() -> None:
    other = {**received(), "labels": {"alertname": "Other", "severity": "page"}}
    _, there = look({"rules": rules(rule()), "/api/v2/alerts": [other]})
    assert there.value["alerts"] == []


def test_suppressed_alert_has_its_reason() -> None:
    answer = [received("suppressed", silencedBy=["s1"], inhibitedBy=["i1"])]
    _, there = look({"rules": rules(rule()), "/api/v2/alerts": answer})
    (alert,) = there.value["alerts"]
    assert (alert["state"], alert["silenced"], alert["inhibited"]) == ("suppressed", ["s1"], ["i1"])
