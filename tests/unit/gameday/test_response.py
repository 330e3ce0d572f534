"""Detected, mitigated and recovered: numbers with their sources, and unknown where there is none."""

from __future__ import annotations

from typing import Any

import requests

from harness.common.clock import iso
from harness.gameday.alerts import AlertTimes, alert_times
from harness.gameday.marks import Mark
from harness.gameday.response import Outage, outage_of, response_to
from harness.results.record import Bounds, ClockRecord, ExperimentRecord, FaultRecord
from tests.unit.prometheus.scripted_prometheus import Scripted, matrix

ZERO = 1_700_000_000.0
OUTAGE = Outage("shop", ZERO, ZERO + 600, ((ZERO + 40, "user clock (shop)"), (ZERO + 30, "endpoints clock (shop)")))


def _record(**changes: Any) -> ExperimentRecord:
    fault = FaultRecord(kind="podKill", parameters={}, injected=Bounds(low=30.0, high=30.5))
    return ExperimentRecord(id="x", name="shop", origin=iso(ZERO), faults=[fault]).model_copy(update=changes)


def _clock(name: Any, state: Any, ended: float | None = None, reason: str = "") -> ClockRecord:
    return ClockRecord(clock=name, subject="shop", state=state, ended=ended, reason=reason)


def test_outage_begins_at_the_first_injection() -> None:
    clocks = [_clock("control plane", "recovered", 50.0), _clock("user", "recovered", 70.0)]
    found = outage_of(_record(recovery=clocks), "shop", ZERO + 600)
    assert found == Outage(
        "shop",
        ZERO + 30,
        ZERO + 600,
        ((ZERO + 70, "user clock (shop)"), (ZERO + 50, "control plane clock (shop)")),
        "control plane clock: recovered; user clock: recovered",
    )


def test_experiment_without_injection_has_no_outage() -> None:
    fault = FaultRecord(kind="podKill", parameters={})
    assert outage_of(_record(faults=[fault]), "shop", ZERO) is None
    assert outage_of(_record(faults=[]), "shop", ZERO) is None


def test_first_source_wins_and_the_later_ones_are_named() -> None:
    marks = [Mark("detected", ZERO + 90, "ann"), Mark("mitigated", ZERO + 120, "ann", "rolled back")]
    alerts = [AlertTimes("Down", ZERO + 65, ZERO + 200)]
    found = response_to(OUTAGE, marks, alerts, ["Down"])
    assert (found.detected.seconds, found.detected.source) == (65, "alert Down fired")
    assert found.detected.others == ["90 s: entered by ann"]
    assert (found.mitigated.seconds, found.mitigated.source) == (120, "entered by ann: rolled back")
    assert found.mitigated.others == ["3 min 20 s: alert Down resolved"]
    assert (found.recovered.seconds, found.recovered.source) == (40, "user clock (shop)")
    assert found.injected == iso(ZERO)


def test_unknown_moments_are_null_with_the_reason() -> None:
    outage = Outage("shop", ZERO, ZERO + 600, (), "user clock: not recovered")
    alerts = [AlertTimes("A"), AlertTimes("B", before=True), AlertTimes("C", error="down"), AlertTimes("D", ZERO + 1)]
    found = response_to(outage, [], [alerts[0], alerts[1], alerts[2]], ["A", "B", "C"])
    assert found.detected.seconds is None
    assert found.detected.reason == (
        "no mark was entered (`harness gameday mark detected`); alert A did not fire; "
        "alert B was already firing before the injection; alert C could not be read: down"
    )
    assert (found.recovered.seconds, found.recovered.reason) == (None, "user clock: not recovered")
    unresolved = response_to(outage, [], [alerts[3]], ["D"])
    assert unresolved.detected.seconds == 1
    assert unresolved.mitigated.seconds is None
    assert "alert D was not resolved" in unresolved.mitigated.reason


def test_marks_of_other_outages_do_not_count() -> None:
    marks = [Mark("detected", ZERO - 1, "ann"), Mark("detected", ZERO + 600, "ann")]
    assert response_to(OUTAGE, marks, [], []).detected.seconds is None


def test_mitigated_when_all_alerts_are_resolved() -> None:
    both = [AlertTimes("A", ZERO + 5, ZERO + 50), AlertTimes("B", ZERO + 9, ZERO + 80)]
    assert response_to(OUTAGE, [], both, ["A", "B"]).mitigated.seconds == 80
    one = [both[0], AlertTimes("B", ZERO + 9)]
    assert response_to(OUTAGE, [], one, ["A", "B"]).mitigated.seconds is None


def _times(*points: tuple[float, float]) -> AlertTimes:
    return alert_times(Scripted({"query_range": matrix(*points)}).prometheus(), "Down", 100.0, 160.0)


def test_alert_fires_and_is_resolved() -> None:
    assert _times((110.0, 1), (111.0, 1), (112.0, 2)) == AlertTimes("Down", 110.0, 113.0)
    assert _times((110.0, 1), (111.0, 1), (130.0, 1)) == AlertTimes("Down", 110.0, 112.0)
    assert _times((159.0, 1), (160.0, 1)) == AlertTimes("Down", 159.0, None)
    assert _times((100.0, 1), (101.0, 1)) == AlertTimes("Down", before=True)
    assert _times() == AlertTimes("Down")


def test_query_names_the_alert_and_unreadable_is_an_error() -> None:
    script = Scripted({"query_range": requests.ConnectionError("gone")})
    found = alert_times(script.prometheus(), 'a"b', 100.0, 160.0)
    assert found.fired is None
    assert "does not answer" in found.error
    query = script.queries("query_range")[0].query
    assert query["query"] == 'count(ALERTS{alertname="a\\"b",alertstate="firing"})'


def test_mark_before_the_injection_does_not_count() -> None:
    found = response_to(OUTAGE, [Mark("detected", ZERO - 12, "ann")], [], [])
    assert found.detected.reason == "no mark was entered after the injection, the last one is from 12 s before it"
    assert found.mitigated.reason == "no mark was entered (`harness gameday mark mitigated`)"
