"""Abort rules of a game day: PromQL, alerts and error budgets, and what happens without data."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from pydantic import ValidationError

from harness.common.clock import FakeClock
from harness.gameday.abort_rules import AbortRule, during_faults, ended_by, first_met
from tests.unit.prometheus.scripted_prometheus import Asked, Scripted, vector

BUDGET = {
    "name": "shop",
    "good": 'sum(increase(hits{code!~"5.."}[$window]))',
    "total": "sum(increase(hits[$window]))",
    "objective": "99.9%",
    "spent": "80%",
}


def _rule(**fields: Any) -> AbortRule:
    return AbortRule.model_validate(fields)


PROMQL = _rule(promql={"name": "errors", "query": "sum(errors)", "above": 5})
ALERT = _rule(alert={"name": "ShopDown", "labels": {"severity": "page"}})
SPENT = _rule(errorBudget=BUDGET)


def _met(rule: AbortRule, *answers: Any) -> tuple[str, Scripted, FakeClock]:
    left = list(answers)

    def answer(_asked: Asked) -> Any:
        return left.pop(0) if len(left) > 1 else left[0]

    script, clock = Scripted({"query": answer}), FakeClock()
    return first_met([rule], script.prometheus(), clock), script, clock


@pytest.mark.parametrize(
    ("rule", "answer", "reason"),
    [
        (PROMQL, vector(6), "errors was 6, above 5"),
        (PROMQL, vector(5), ""),
        (PROMQL, vector(), ""),
        (ALERT, vector(2), 'alert ShopDown{severity="page"}: number of firing instances was 2, above 0'),
        (ALERT, vector(), ""),
        (SPENT, vector(0.81), "error budget of shop (99.9% over 30 days): share spent was 0.81, above 0.8"),
        (SPENT, vector(0.5), ""),
        (SPENT, vector(-0.1), ""),
    ],
)
def test_condition_is_met_beyond_its_bound(rule: AbortRule, answer: Any, reason: str) -> None:
    found, _, clock = _met(rule, answer)
    assert found == reason
    assert clock.monotonic() == 1000.0, "decided at once"


def test_queries_are_those_of_the_declaration() -> None:
    _, script, _ = _met(ALERT, vector())
    assert script.queries()[0].query["query"] == (
        'count(ALERTS{alertname="ShopDown",alertstate="firing",severity="page"})'
    )
    _, script, _ = _met(SPENT, vector(0))
    assert script.queries()[0].query["query"] == (
        '(1 - (sum(increase(hits{code!~"5.."}[30d]))) / (sum(increase(hits[30d])))) / 0.001 or on() vector(NaN)'
    )


@pytest.mark.parametrize("rule", [PROMQL, ALERT, SPENT], ids=["promql", "alert", "budget"])
@pytest.mark.parametrize("answer", [requests.ConnectionError("gone"), vector("NaN")], ids=["gone", "not a number"])
def test_what_cannot_be_evaluated_aborts(rule: AbortRule, answer: Any) -> None:
    found, _, clock = _met(rule, answer)
    assert "could not be read for" in found
    assert clock.monotonic() > 1010


def test_short_gap_of_prometheus_does_not_abort() -> None:
    assert _met(PROMQL, requests.Timeout("slow"), requests.Timeout("slow"), vector(1))[0] == ""


def test_unreadable_condition_may_be_declared_harmless() -> None:
    calm = _rule(promql={"name": "errors", "query": "sum(errors)", "above": 5, "noData": "continue"})
    assert _met(calm, requests.ConnectionError("gone"))[0] == ""
    assert first_met([calm], None, FakeClock()) == ""
    assert "no Prometheus found, needed to evaluate: errors" in first_met([PROMQL], None, FakeClock())


def test_value_must_stay_beyond_the_bound() -> None:
    lasting = _rule(promql={"name": "errors", "query": "sum(errors)", "above": 5, "for": "3s"})
    found, _, clock = _met(lasting, vector(6))
    assert found == "errors was 6, above 5 for 3 s"
    assert clock.monotonic() == 1003
    assert _met(lasting, vector(6), vector(6), vector(1))[0] == ""


def test_condition_that_never_becomes_clear_aborts() -> None:
    lasting = _rule(promql={"name": "errors", "query": "sum(errors)", "above": 5, "for": "3s"})
    found, _, _ = _met(lasting, *[vector(6), requests.Timeout("slow")] * 200)
    assert "errors" in found


def test_faults_are_ended_by_promql_and_alerts_only() -> None:
    assert [each.name for each in during_faults([PROMQL, ALERT, SPENT])] == [
        "game day: errors",
        'game day: alert ShopDown{severity="page"}: number of firing instances',
    ]


def test_end_of_a_fault_is_traced_to_the_rule() -> None:
    assert ended_by([PROMQL], "game day: errors was 6, above 5", "") == "errors was 6, above 5"
    before = "nothing was injected because an abort condition is already met: game day: errors was 6, above 5"
    assert ended_by([PROMQL], "", before) == "errors was 6, above 5"
    assert ended_by([PROMQL], "errors was 6, above 5", "") == "", "the experiment's own condition"
    assert ended_by([PROMQL], "", "") == ""


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "expected exactly one of promql, alert and errorBudget"),
        ({"alert": {"name": "a"}, "errorBudget": BUDGET}, "expected exactly one of"),
        ({"promql": {"name": "a", "query": 'up{namespace="$namespace"}', "above": 1}}, "a game day has no namespace"),
        ({"alert": {"name": "a", "labels": {"a-b": "c"}}}, "query"),
        ({"errorBudget": {**BUDGET, "good": "sum(hits)"}}, r"good: found 'sum\(hits\)', expected a range of \$window"),
        ({"errorBudget": {**BUDGET, "objective": "100%"}}, "less than 1"),
        ({"errorBudget": {**BUDGET, "days": 0}}, "greater than or equal to 1"),
    ],
)
def test_invalid_rule_is_refused(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        AbortRule.model_validate(fields)


def test_all_problems_of_a_budget_are_reported_at_once() -> None:
    with pytest.raises(ValidationError, match=r"good: .*; total: "):
        _rule(errorBudget={**BUDGET, "good": "sum(hits[$window]", "total": "hits"})
