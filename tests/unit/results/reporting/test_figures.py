"""Numbers for people, and what a reader must see first."""

from __future__ import annotations

import pytest

from harness.model.verdict import Verdict
from harness.results.record import ClockRecord, ObjectiveRecord
from harness.results.reporting import figures, overview
from harness.results.reporting.svg import Scale, Span, element, linear, logarithmic, nice
from tests.unit.results.reporting import sample_runs


def plain(text: str) -> str:
    return text.replace(figures.NBSP, " ").replace(figures.MINUS, "-")


@pytest.mark.parametrize(
    ("value", "unit", "against", "shown"),
    [
        (1.0, "share", 0.999, "100%"),
        (0.99996, "share", None, "99.996%"),
        (0.9989, "share", 0.999, "99.89%"),
        (0.99899, "share", 0.999, "99.899%"),
        (0.999, "share", 0.999, "99.9%"),
        (0.9990000000000001, "share", 0.999, "99.9%"),
        (87.5, "%", 90.0, "87.5%"),
        (0.0, "share", 0.999, "0%"),
        (0.0123, "s", 0.2, "12 ms"),
        (0.00002, "s", None, "0.02 ms"),
        (4.23, "s", 20.0, "4.2 s"),
        (20.04, "s", 20.0, "20.04 s"),
        (60.0, "s", None, "60 s"),
        (200.0, "s", None, "3 min 20 s"),
        (180.4, "s", 180.0, "180.4 s"),
        (3600.0, "s", None, "1 h"),
        (3.0, "replicas", 6.0, "3 replicas"),
        (12345.0, "", None, "12,345"),
        (-2.5, "points", None, "-2.5 points"),
    ],
)
def test_quantity_has_a_unit_and_rounds_to_its_side_of_the_limit(
    value: float, unit: str, against: float | None, shown: str
) -> None:
    assert plain(figures.quantity(value, unit, against)) == shown


@pytest.mark.parametrize(
    ("low", "high", "unit", "shown"),
    [
        (4.2, 4.63, "s", "4.2–4.6 s"),
        (4.21, 4.22, "s", "4.2 s"),
        (0.8, 1.2, "s", "800 ms–1.2 s"),
        (130.0, 140.0, "s", "2 min 10 s–2 min 20 s"),
        (0.9995, 0.9999, "share", "99.95–99.99%"),
        (3.0, 4.0, "", "3–4"),
        (0.0, 1.3, "s", "0–1.3 s"),
        (0.0, 0.0, "s", "0 ms"),
        (60.0, None, "s", "over 60 s"),
        (None, 2.0, "s", "under 2 s"),
        (None, None, "s", ""),
    ],
)
def test_bounds_name_their_unit_once(low: float | None, high: float | None, unit: str, shown: str) -> None:
    assert plain(figures.between(low, high, unit)) == shown


def test_margins_are_signed_and_shares_differ_by_points() -> None:
    shown = [
        figures.margin(*margin) for margin in [(-0.13, "share"), (0.0004, "share"), (-3.1, "s"), (0.0, "s"), (2, "")]
    ]
    assert [plain(text) for text in shown] == ["-13 points", "+0.04 points", "-3.1 s", "±0 ms", "+2"]


def test_places_on_the_axis_are_signed_and_zero_is_zero() -> None:
    assert [plain(figures.offset(at)) for at in (-20.0, -0.01, 0.0, 3.25)] == ["-20 s", "0 s", "0 s", "+3.2 s"]
    assert [plain(figures.precise_offset(at)) for at in (-0.004, 0.03, -1.5)] == ["+0.00 s", "+0.03 s", "-1.50 s"]


def test_run_verdict_is_the_worst_and_an_empty_run_no_success() -> None:
    held, broken, unclear = sample_runs.experiment(), sample_runs.broken(), sample_runs.inconclusive()
    assert overview.run_verdict(sample_runs.run(held, broken, unclear)) is Verdict.BROKEN
    assert overview.run_verdict(sample_runs.run(held, unclear)) is Verdict.INCONCLUSIVE
    assert overview.run_verdict(sample_runs.run(held)) is Verdict.HELD
    assert overview.run_verdict(sample_runs.run()) is Verdict.INCONCLUSIVE


def test_twins_count_as_held_only_if_they_broke_as_required() -> None:
    held = sample_runs.experiment()
    assert overview.run_verdict(sample_runs.run(held, sample_runs.twin())) is Verdict.HELD
    assert overview.run_verdict(sample_runs.run(held, sample_runs.twin(held=True))) is Verdict.INCONCLUSIVE


def test_unjudged_experiment_is_inconclusive() -> None:
    record = sample_runs.experiment(stage="observed")
    assert overview.contribution(record) is Verdict.INCONCLUSIVE
    assert "not judged" in overview.reason(record)


def test_broken_experiments_come_first_with_their_twins() -> None:
    made = sample_runs.run(
        sample_runs.twin(), sample_runs.experiment(), sample_runs.inconclusive(), sample_runs.broken()
    )
    assert [(family.name, len(family.members)) for family in overview.families(made)] == [
        ("kill-all", 1),
        ("rollout-bad-image", 1),
        ("pod-kill", 2),
    ]
    assert [member.twin for member in overview.families(made)[2].members] == ["", "single-replica"]


def test_the_tightest_objective_is_measured_in_error_budgets() -> None:
    """Half of an error budget left is tighter than half a limit left, though 0.05 points look small beside 12 s."""
    narrow, wide = sample_runs.availability(0.9991), sample_runs.recovery_time(8.0)
    assert overview.tightest([wide, narrow]) is narrow
    beyond = sample_runs.recovery_time(40.0)
    assert overview.tightest([narrow, beyond]) is beyond
    unclear = ObjectiveRecord(kind="k", title="t", verdict=Verdict.INCONCLUSIVE, reason="no samples")
    assert overview.tightest([narrow, unclear]) is unclear
    counted = narrow.model_copy(update={"observed": 0.0, "limit": 0.0, "margin": 0.0, "unit": "writes lost"})
    assert overview.tightest([counted, wide]) is wide
    assert overview.tightest([]) is None
    percent = narrow.model_copy(update={"observed": 99.91, "limit": 99.9, "margin": 0.01, "unit": "%"})
    assert overview.tightest([wide, percent]) is percent


def test_a_finding_names_its_limit_once() -> None:
    """Titles that hold the limit say it for both; what has no number says so."""
    made = sample_runs.recovery_time(7.4)
    assert plain(overview.finding_text(made)) == "recovery of deployment/podinfo: 7.4 s (at most 20 s), +12.6 s"
    told = sample_runs.availability(1.0).model_copy(update={"title": "availability at least 99.9%"})
    assert plain(overview.finding_text(told)) == "availability at least 99.9%: 100%, +0.1 points"
    unclear = ObjectiveRecord(kind="k", title="t", verdict=Verdict.INCONCLUSIVE, reason="no samples")
    assert overview.finding_text(unclear) == "t: not judged"


def test_recovery_time_is_the_user_clock_of_the_worst_subject() -> None:
    record = sample_runs.experiment()
    assert plain(overview.time_to_recover(record)) == "no outage (user), 7.3–7.4 s (endpoints)"
    slow = ClockRecord(clock="user", subject="b", state="recovered", low=9.0, high=9.1)
    fast = ClockRecord(clock="user", subject="a", state="recovered", low=1.0, high=1.1)
    never = ClockRecord(clock="user", subject="c", state="not recovered", low=60.0)
    for clocks, shown in [
        ([fast, slow], "9–9.1 s (user)"),
        ([slow, never, fast], "did not recover (over 60 s) (user)"),
        ([ClockRecord(clock="user", subject="", state="no data")], "no data"),
        ([], ""),
    ]:
        assert plain(overview.time_to_recover(record.model_copy(update={"recovery": clocks}))) == shown


def test_scales_keep_every_value_inside() -> None:
    for largest in (0.0, 0.003, 1, 3, 50, 99.9, 1234):
        scale = linear(largest, 100)
        assert scale.top >= largest
        assert 0 <= scale.y(largest) <= 100
        assert scale.y(0) == 100
        assert 2 <= len(scale.ticks()) <= 5
    decades = logarithmic(0.004, 7.0, 90)
    assert decades.ticks() == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert decades.y(0.001) == 90
    assert decades.y(10) == 0
    assert decades.y(0.1) == pytest.approx(45)
    assert Scale(10, 50).y(1e9) == 0


def test_ticks_are_round_numbers() -> None:
    assert [nice(value) for value in (0.0, 0.021, 1, 1.1, 3, 7, 60)] == [1.0, 0.05, 1, 2, 5, 10, 100]


def test_time_axis_clips_values_outside_it() -> None:
    span = Span(start=10.0, end=60.0, zero=20.0)
    assert [span.percent(at) for at in (0, 10, 35, 60, 99)] == ["0.00%", "0.00%", "50.00%", "100.00%", "100.00%"]


def test_elements_escape_children_and_attributes() -> None:
    assert element("text", "<b>", aria_label='"&') == '<text aria-label="&#34;&amp;">&lt;b&gt;</text>'


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1, "restarts", "1 restart"), (0, "restarts", "0 restarts"), (2, "replicas", "2 replicas"), (1, "pods", "1 pod")],
)
def test_one_of_a_unit_is_singular(value: float, unit: str, text: str) -> None:
    assert plain(figures.quantity(value, unit)) == text
    assert plain(figures.margin(value, unit)).lstrip("+±") == text
