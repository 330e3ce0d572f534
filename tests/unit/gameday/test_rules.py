"""The rules of a game day: windows, abort rules and responses, called as the day calls them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harness.common.clock import iso
from harness.gameday.abort_rule import AbortDay
from harness.gameday.alerts import firing
from harness.gameday.marks import Mark, enter
from harness.gameday.rules import Action, Answer, DayRule, continues_until, rules_for
from harness.results.game_day_record import GameDayRecord
from harness.results.record import Bounds, ExperimentRecord, FaultRecord
from tests.unit.gameday.fake_day import FakeDay
from tests.unit.prometheus.scripted_prometheus import Scripted, instant, matrix, vector

HOUR = 3600.0
ABORT = "abort: [{promql: {name: errors, query: sum(errors), above: 5}}]\n"


def _rule(fake: FakeDay, name: str) -> DayRule:
    return next(rule for rule in rules_for(fake.day.game_day) if rule.name == name)


def _set(fake: FakeDay, text: str) -> None:
    fake.clock.set_wall(datetime.fromisoformat(f"2026-11-{text}:00+00:00").timestamp() - fake.clock.wall())


def test_order_of_the_rules_is_fixed(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, ABORT + "surprise: {}\nwindows: {}\n")
    assert [rule.name for rule in rules_for(fake.day.game_day)] == ["surprise", "windows", "abort", "response"]
    assert [rule.name for rule in rules_for(FakeDay(tmp_path).day.game_day)] == ["response"]


@pytest.mark.parametrize(
    ("more", "hours"),
    [
        ("", None),
        ("windows: {allow: ['Mon-Fri 09:00-16:00']}\n", 7.5),
        ("windows: {allow: ['Mon-Fri 12:00-16:00']}\n", 1.0),
        ("windows: {allow: ['Mon-Fri 12:00-16:00']}\nsurprise: {within: 5h}\n", 7.5),
    ],
)
def test_interrupted_day_continues_until_its_window_ends(tmp_path: Path, more: str, hours: float | None) -> None:
    fake = FakeDay(tmp_path, more)
    _set(fake, "23T08:30")
    until = continues_until(fake.day.game_day, fake.clock.wall())
    assert until == (None if hours is None else fake.clock.wall() + hours * HOUR)


def test_day_waits_until_a_window_opens(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, "windows: {allow: ['Mon-Fri 09:00-16:00']}\n")
    _set(fake, "23T08:30")
    rule, looks = _rule(fake, "windows"), 0
    while (answer := rule.before_day(fake.day)).action is Action.WAIT:
        assert "which is not within" in answer.reason or "would not start and end" in answer.reason
        fake.clock.advance(answer.seconds)
        looks += 1
    assert answer.action is Action.GO
    assert looks == 30
    assert iso(fake.clock.wall()).startswith("2026-11-23T09:00:00")


def test_day_is_aborted_if_no_window_opens_in_time(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, "windows: {allow: ['Mon-Fri 09:00-16:00'], wait: 20m}\n")
    _set(fake, "23T08:30")
    answer = _rule(fake, "windows").before_day(fake.day)
    assert answer.action is Action.ABORT
    assert "does not open within 20 min (windows.wait)" in answer.reason


def test_experiment_that_would_end_too_late_is_not_begun(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, "windows: {allow: ['Mon-Fri 09:00-16:00']}\n")
    _set(fake, "23T15:58")
    rule = _rule(fake, "windows")
    assert rule.before_experiment(fake.day, fake.day.turns[0]).action is Action.GO
    fake.clock.advance(90)
    assert rule.before_experiment(fake.day, fake.day.turns[0]).action is Action.ABORT


def test_stepped_clock_does_not_open_the_window(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, "windows: {allow: ['Mon-Fri 09:00-16:00'], wait: 3h}\n")
    _set(fake, "23T08:00")
    rule = _rule(fake, "windows")
    assert rule.before_day(fake.day).action is Action.WAIT
    fake.clock.set_wall(2 * HOUR)
    answer = rule.before_experiment(fake.day, fake.day.turns[0])
    assert answer.action is Action.WAIT
    assert "the machine's clock was stepped forward by 2 h" in answer.reason


def test_met_condition_aborts_before_the_day_and_each_experiment(tmp_path: Path) -> None:
    # Closing a clone of the scripted server empties its answers.
    script = Scripted({"query": vector(6)})
    fake = FakeDay(tmp_path, ABORT, script.prometheus())
    rule = _rule(fake, "abort")
    met = Answer(Action.ABORT, "errors was 6, above 5")
    assert rule.before_day(fake.day) == met
    script.answers = {"query": vector(6)}
    assert rule.before_experiment(fake.day, fake.day.turns[0]) == met
    script.answers = {"query": vector(1)}
    assert rule.before_day(fake.day).action is Action.GO


@pytest.mark.parametrize(("name", "action"), [("ShopDown", Action.GO), ("ShopDwn", Action.ABORT)])
def test_alert_without_a_rule_aborts_before_the_day(tmp_path: Path, name: str, action: Action) -> None:
    rules = [{"name": "ShopDown", "type": "alerting", "alerts": []}]
    known = {"status": "success", "data": {"groups": [{"interval": 2, "rules": rules}]}}
    script = Scripted({"rules": known, "query": instant()})
    fake = FakeDay(tmp_path, f"abort: [{{alert: {{name: {name}}}}}]\n", script.prometheus())
    answer = _rule(fake, "abort").before_day(fake.day)
    assert answer.action is action, answer.reason
    if action is Action.ABORT:
        assert answer.reason.startswith(
            "alert ShopDwn: found no such alerting rule in Prometheus, expected one of: Sho"
        )


def test_experiments_run_with_the_conditions_of_the_day(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, ABORT, Scripted().prometheus())
    rule = _rule(fake, "abort")
    _, prepared = rule.prepare(fake.day, fake.run, fake.day.turns[0].experiment)
    assert [each.name for each in prepared.abort] == ["game day: errors"]


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"stopped_early": "game day: errors was 6, above 5"}, Action.ABORT),
        ({"stopped_early": "errors was 6, above 5"}, Action.GO),
        ({}, Action.GO),
    ],
)
def test_fault_ended_by_the_day_ends_the_day(tmp_path: Path, fields: dict[str, Any], action: Action) -> None:
    fake = FakeDay(tmp_path, ABORT)
    record = ExperimentRecord(id="x", name="one", **fields)
    rule = _rule(fake, "abort")
    assert isinstance(rule, AbortDay)
    assert rule.after_experiment(fake.day, fake.day.turns[0], record).action is action
    assert rule.after_experiment(fake.day, fake.day.turns[0], None).action is Action.GO


def _injected(fake: FakeDay, name: str) -> ExperimentRecord:
    fault = FaultRecord(kind="podKill", parameters={}, injected=Bounds(low=10, high=10))
    return ExperimentRecord(id="x", name=name, origin=iso(fake.clock.wall()), faults=[fault])


def test_responses_are_those_of_their_outage(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, "response: {alerts: [Down]}\n", Scripted({"query_range": matrix()}).prometheus())
    rule, begin = _rule(fake, "response"), fake.clock.wall()
    for turn in fake.day.turns[:2]:
        rule.after_experiment(fake.day, turn, _injected(fake, turn.title))
        fake.clock.advance(300)
    enter(fake.run.cluster.api, Mark("detected", begin + 5, "eve"))
    enter(fake.run.cluster.api, Mark("detected", begin + 50, "ann"))
    enter(fake.run.cluster.api, Mark("mitigated", begin + 400, "bob"))
    record = GameDayRecord(name="friday")
    rule.after_day(fake.day, record)
    first, second = record.responses
    assert (first.experiment, first.detected.seconds, first.detected.source) == ("one", 40, "entered by ann")
    assert first.mitigated.seconds is None
    assert "alert Down did not fire" in first.mitigated.reason
    assert (second.experiment, second.detected.seconds, second.mitigated.seconds) == ("two", None, 90)
    assert firing("Down").startswith("count(ALERTS{")


def test_responses_without_prometheus_are_unknown(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, "response: {alerts: [Down]}\n")
    rule = _rule(fake, "response")
    rule.after_experiment(fake.day, fake.day.turns[0], _injected(fake, "one"))
    rule.after_experiment(fake.day, fake.day.turns[1], None)
    record = GameDayRecord(name="friday")
    rule.after_day(fake.day, record)
    [found] = record.responses
    assert found.detected.seconds is None
    assert "alert Down could not be read: no Prometheus" in found.detected.reason
