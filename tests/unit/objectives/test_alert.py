"""An alert must be silent before the fault, fire in time, reach Alertmanager, and resolve in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.finding import Finding
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.objectives.alert import Alert
from tests.unit.timelines import WALL, Story

BROKEN, HELD, INCONCLUSIVE = Verdict.BROKEN, Verdict.HELD, Verdict.INCONCLUSIVE
# The fault lasts from 10 s to 30 s, the run ends at 95 s.
FAULT, UNDO, END = 10.0, 30.0, 95.0
EVALUATION = SCRAPE = 2.0


def alert(**fields: Any) -> Alert:
    return Alert(**{"name": "ShopDown", "firesWithin": "15s", "resolvesWithin": "40s", **fields})


SILENT = {"firesWithin": None, "resolvesWithin": None, "mustNotFire": True}


def times(start: float = 0.0, end: float = END) -> Iterator[float]:
    at = start
    while at <= end:
        yield at
        at += 0.5


class Seen:
    """Looks twice a second: a firing alert in Prometheus, and an active one in Alertmanager, between two instants."""

    def __init__(self, judged: Alert) -> None:
        self.alert = judged
        self.firing = self.active = (17.0, 40.0)
        self.pending = (13.0, 17.0)
        self.state = "active"
        self.blind: dict[str, tuple[float, float]] = {}
        self.stalled = (0.0, 0.0)
        self.rules = 1
        self.why = ""
        self.labels = {"alertname": "ShopDown", "severity": "page"}
        self.silenced: list[str] = []

    def timeline(self, end: float = END, undone: float | None = UNDO) -> Timeline:
        story = Story(baseline=10, fault=20, recovery=60, settle=5).injected(FAULT, undone=undone)
        for at in times(end=end):
            self._prometheus(story, at)
            self._alertmanager(story, at)
        return story.timeline

    def judged(self, **given: Any) -> Finding:
        return self.alert.judge(self.timeline(**given))

    def _add(self, story: Story, series: str, at: float, value: dict[str, Any]) -> None:
        begin, end = self.blind.get(series, (0.0, 0.0))
        if begin <= at < end:
            story.error(series, self.alert.title, at, "connection refused")
        else:
            story.add(series, self.alert.title, at, {"asked": at - 0.1, **value})

    def _of(self, state: str) -> dict[str, Any]:
        matches = all(self.labels.get(name) == value for name, value in self.alert.labels.items())
        return {"labels": self.labels, "state": state, "matches": matches, "silenced": self.silenced}

    def _prometheus(self, story: Story, at: float) -> None:
        states = {"pending": self.pending, "firing": self.firing}
        alerts = [self._of(state) for state, (begin, end) in states.items() if begin <= at < end]
        frozen, moving = self.stalled
        evaluated = WALL + (frozen if frozen <= at < moving else at // EVALUATION * EVALUATION)
        rule = {"interval": EVALUATION, "for": 4.0, "evaluated": evaluated, "error": self.why}
        known = {} if self.rules else {"known": ["Other"]}
        sends = {"sends": []} if alerts else {}
        value = {"scrape": SCRAPE, "rules": [rule] * self.rules, "alerts": alerts, **known, **sends}
        self._add(story, "alerts", at, value)

    def _alertmanager(self, story: Story, at: float) -> None:
        begin, end = self.active
        self._add(story, "alertmanager", at, {"alerts": [self._of(self.state)] if begin <= at < end else []})


@pytest.fixture
def seen() -> Seen:
    return Seen(alert())


def test_alert_in_time_holds_with_its_error(seen: Seen) -> None:
    seen.active = (18.0, 41.0)
    finding = seen.judged()
    assert finding.verdict is HELD
    # Active between the looks at 17.5 s and 18 s, and one scrape and one evaluation around that.
    assert (finding.low, finding.high, finding.limit) == pytest.approx((3.3, 12.0, 15.0))
    assert finding.detail["error of the times"] == "± 4 s: scrape interval 2 s, evaluation interval 2 s"
    assert "ShopDown reached Alertmanager 7.3 s to 8 s after the fault" in finding.reason
    assert finding.detail["ShopDown resolved"] == "9.3 s to 10 s after the undo"


@pytest.mark.parametrize(
    ("fires", "verdict"), [(20.5, HELD), (21.5, INCONCLUSIVE), (28.5, INCONCLUSIVE), (29.9, BROKEN)]
)
def test_late_alert_breaks_only_if_certainly_late(seen: Seen, fires: float, verdict: Verdict) -> None:
    seen.pending = (13.0, fires)
    seen.firing = seen.active = (fires, 40.0)
    assert seen.judged().verdict is verdict


@pytest.mark.parametrize(("ends", "verdict"), [(65.5, HELD), (67.0, INCONCLUSIVE), (75.5, BROKEN)])
def test_late_resolution_breaks_only_if_certainly_late(seen: Seen, ends: float, verdict: Verdict) -> None:
    seen.firing = seen.active = (17.0, ends)
    finding = seen.judged()
    assert finding.verdict is verdict
    assert seen.alert.overdue(seen.timeline()) is (verdict is BROKEN)
    assert "after the undo" in finding.reason


def test_alert_that_stays_breaks(seen: Seen) -> None:
    seen.firing = seen.active = (17.0, 200.0)
    finding = seen.judged()
    assert finding.verdict is BROKEN
    assert "ShopDown resolved: not observed in the 64.9 s after the undo" in finding.reason


def test_alert_cleared_late_by_alertmanager_breaks(seen: Seen) -> None:
    seen.active = (17.0, 200.0)
    assert "was cleared in Alertmanager: not observed" in seen.judged().reason
    assert seen.judged().verdict is BROKEN


def test_rule_that_cannot_fire_breaks(seen: Seen) -> None:
    seen.firing = seen.active = seen.pending = (0.0, 0.0)
    finding = seen.judged()
    assert finding.verdict is BROKEN
    assert "ShopDown fired: not observed in the 19.9 s that the fault was in effect" in finding.reason
    assert finding.reason.endswith("; its expression selected nothing")


def test_pending_and_failing_rules_are_explained(seen: Seen) -> None:
    seen.firing = seen.active = (0.0, 0.0)
    seen.pending = (13.0, 34.0)
    assert "it was pending (for: 4 s)" in seen.judged().reason
    seen.why = "many-to-many matching not allowed"
    assert "its evaluation failed: many-to-many" in seen.judged().reason


def test_fault_too_short_for_the_limit_is_inconclusive() -> None:
    seen = Seen(alert(firesWithin="17s"))
    seen.firing = seen.active = seen.pending = (0.0, 0.0)
    assert seen.judged().verdict is INCONCLUSIVE


def test_alert_that_is_not_delivered_breaks(seen: Seen) -> None:
    seen.active = (0.0, 0.0)
    finding = seen.judged()
    assert finding.verdict is BROKEN
    assert "ShopDown reached Alertmanager: not observed" in finding.reason
    assert finding.reason.endswith("; it fired in Prometheus, which sends alerts to no Alertmanager")


def test_silenced_alert_breaks(seen: Seen) -> None:
    seen.state, seen.silenced = "suppressed", ["silence-1"]
    finding = seen.judged()
    assert finding.verdict is BROKEN
    assert "it was silenced by silence-1" in finding.reason


def test_alertmanager_can_be_left_out() -> None:
    seen = Seen(alert(alertmanager="none"))
    seen.active = (0.0, 0.0)
    seen.blind = {"alertmanager": (0.0, END + 1)}
    assert seen.judged().verdict is HELD


def test_alert_with_other_labels_does_not_count() -> None:
    seen = Seen(alert(labels={"severity": "ticket"}))
    finding = seen.judged()
    assert finding.verdict is BROKEN
    assert "it fired with other labels: severity=page" in finding.reason


@pytest.mark.parametrize("before", [(0.0, 40.0), (8.0, 40.0)])
def test_alert_before_the_fault_is_inconclusive(seen: Seen, before: tuple[float, float]) -> None:
    seen.firing = before
    finding = seen.judged()
    assert finding.verdict is INCONCLUSIVE
    assert "already firing in Prometheus" in finding.reason
    assert seen.alert.judge(seen.timeline(), ["baseline"]).verdict is INCONCLUSIVE


def test_alert_that_ended_before_the_fault_is_inconclusive(seen: Seen) -> None:
    seen.firing = (3.0, 5.0)
    assert "already firing in Prometheus" in seen.judged().reason


def test_gap_hides_a_resolution(seen: Seen) -> None:
    seen.firing = seen.active = (17.0, 200.0)
    seen.blind = {"alerts": (50.0, END + 1)}
    finding = seen.judged()
    assert finding.verdict is INCONCLUSIVE
    assert "Prometheus was not observed from 49.5 s" in finding.reason


def test_pending_before_the_fault_is_inconclusive(seen: Seen) -> None:
    seen.pending = (5.0, 17.0)
    assert "already pending" in seen.judged().reason
    assert seen.judged().verdict is INCONCLUSIVE


def test_pending_that_ended_before_the_fault_is_allowed(seen: Seen) -> None:
    seen.pending = (5.0, 8.0)
    assert seen.judged().verdict is HELD


def test_old_alert_in_alertmanager_is_inconclusive(seen: Seen) -> None:
    seen.active = (0.0, 40.0)
    assert "already active in Alertmanager" in seen.judged().reason


def test_unknown_rule_is_inconclusive_and_names_others(seen: Seen) -> None:
    seen.rules = 0
    seen.firing = seen.pending = seen.active = (0.0, 0.0)
    assert seen.judged().reason == "before the fault: Prometheus has no alerting rule ShopDown, it has Other"
    assert seen.alert.judge(seen.timeline(), ["baseline"]).verdict is INCONCLUSIVE


def test_quiet_baseline_holds(seen: Seen) -> None:
    assert seen.alert.judge(seen.timeline(), ["baseline"]).verdict is HELD


@pytest.mark.parametrize("series", ["alerts", "alertmanager"])
@pytest.mark.parametrize("gap", [(0.0, 10.6), (19.0, 30.0), (80.0, 96.0)])
def test_gap_is_never_held(seen: Seen, series: str, gap: tuple[float, float]) -> None:
    seen.blind = {series: gap}
    finding = seen.judged()
    assert finding.verdict is INCONCLUSIVE
    assert "was not observed from" in finding.reason
    assert "connection refused" in finding.reason


def test_short_gap_is_allowed(seen: Seen) -> None:
    seen.blind = {"alerts": (20.0, 29.0)}
    assert seen.judged().verdict is HELD


def test_gap_hides_an_alert_that_did_not_fire(seen: Seen) -> None:
    seen.firing = seen.active = seen.pending = (0.0, 0.0)
    seen.blind = {"alerts": (15.0, 26.0)}
    assert seen.judged().verdict is INCONCLUSIVE


def test_rule_that_is_not_evaluated_is_inconclusive(seen: Seen) -> None:
    seen.firing = seen.active = seen.pending = (0.0, 0.0)
    seen.stalled = (12.0, 28.0)
    finding = seen.judged()
    assert finding.verdict is INCONCLUSIVE
    assert "the rule was not evaluated from" in finding.reason


def test_silent_alert_holds() -> None:
    seen = Seen(alert(**SILENT))
    seen.firing = seen.active = (0.0, 0.0)
    finding = seen.judged()
    assert (finding.verdict, finding.observed, finding.limit) == (HELD, 0, 0)
    seen.blind = {"alerts": (50.0, 56.0)}
    assert seen.judged().verdict is INCONCLUSIVE


def test_alert_that_must_not_fire_breaks() -> None:
    finding = Seen(alert(**SILENT)).judged()
    assert finding.verdict is BROKEN
    assert finding.reason == "ShopDown fired 7 s after the fault, but must not fire (severity=page)"


def test_fault_without_undo_counts_from_the_fault(seen: Seen) -> None:
    finding = seen.judged(undone=None)
    assert finding.verdict is HELD
    assert finding.detail["ShopDown resolved"] == "29.3 s to 30 s after the fault"


def test_recovery_waits_for_the_resolution(seen: Seen) -> None:
    assert seen.alert.pending(seen.timeline(end=35.0)) == "ShopDown is still firing (Prometheus, Alertmanager)"
    assert seen.alert.pending(seen.timeline(end=45.0)) == ""
    assert alert(resolvesWithin=None).pending(seen.timeline(end=35.0)) == ""


def test_baseline_waits_for_a_quiet_rule(seen: Seen) -> None:
    assert seen.alert.unready(Timeline(0.0, 0.0)) == "Prometheus has not answered yet"
    seen.blind = {"alertmanager": (0.0, 5.0)}
    assert seen.alert.unready(seen.timeline(end=3.0)) == "Alertmanager has not answered yet: connection refused"
    assert seen.alert.unready(seen.timeline(end=8.0)) == ""
    assert seen.alert.unready(seen.timeline(end=20.0)) == "ShopDown is already firing in Prometheus"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"mustNotFire": True}, "exactly one of them"),
        ({"firesWithin": None, "resolvesWithin": None}, "exactly one of them"),
        ({**SILENT, "resolvesWithin": "10s"}, "found resolvesWithin without firesWithin"),
        ({"labels": {"alertname": "x"}}, "expected the alert's name in name"),
        ({"prometheus": "none"}, "expected service/NAME"),
        ({"alertmanager": "shop"}, "expected none or service/NAME"),
        ({"firesWithin": "0s"}, "longer than 0 s"),
    ],
)
def test_contradictory_fields_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        alert(**fields)
