"""Prometheus: every phase by itself, and no verdict out of what is no number."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.prometheus import Prometheus
from tests.unit.timelines import Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
RATIO = {"name": "no 5xx", "good": "sum(good)", "total": "sum(total)", "min": "99%"}
VALUE = {"name": "no 5xx", "value": "sum(members)"}


def ratios(*seen: tuple[str, object, object]) -> Story:
    story = Story()
    for phase, good, total in seen:
        story.add("prometheus", "no 5xx", 60.0, {"phase": phase, "good": good, "total": total, "samples": 40})
    return story


def judge(story: Story, phases: list[str] | None = None, **fields: object) -> tuple[Verdict, str]:
    finding = Prometheus(**fields).judge(story.timeline, phases)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(("good", "verdict"), [(1000.0, HELD), (998.0, HELD), (980.0, BROKEN), (0.0, BROKEN)])
def test_a_ratio_is_held_against_its_minimum(good: float, verdict: Verdict) -> None:
    finding = Prometheus(**RATIO, phases=["fault"]).judge(ratios(("fault", good, 1000.0)).timeline)
    assert finding.verdict is verdict
    assert finding.observed == pytest.approx(good / 10)
    assert finding.low <= finding.observed <= finding.high + 1e-9
    assert (finding.limit, finding.unit, finding.samples) == (pytest.approx(99), "%", 40)


def test_every_phase_is_judged_by_itself() -> None:
    """A good settle phase must not make up for a bad fault."""
    finding = Prometheus(**RATIO).judge(ratios(("fault", 90.0, 100.0), ("settle", 9000.0, 9000.0)).timeline)
    assert finding.verdict is BROKEN
    assert finding.reason.startswith("fault: 90% of 100")
    assert finding.detail == {"fault": "90 of 100", "settle": "9000 of 9000"}


def test_the_closest_phase_gives_the_numbers() -> None:
    finding = Prometheus(**RATIO).judge(ratios(("fault", 1000.0, 1000.0), ("settle", 9950.0, 10000.0)).timeline)
    assert (finding.verdict, finding.observed) == (HELD, pytest.approx(99.5))


@pytest.mark.parametrize(
    ("bounds", "value", "verdict"),
    [
        ({"min": 2}, 2.0, HELD),
        ({"min": 2}, 1.9, BROKEN),
        ({"max": 2}, 2.0, HELD),
        ({"max": 2}, 2.1, BROKEN),
        ({"max": 0}, 0.0, HELD),
        ({"min": 0}, 0.0, HELD),
        ({"max": 0}, 1.0, BROKEN),
    ],
)
def test_a_value_is_held_against_its_bound(bounds: dict[str, float], value: float, verdict: Verdict) -> None:
    story = Story().add("prometheus", "no 5xx", 60.0, {"phase": "settle", "value": value})
    assert judge(story, **VALUE, **bounds, phases=["settle"])[0] is verdict


def without_numbers() -> list[Story]:
    nan = float("nan")
    failed = Story().error("prometheus", "no 5xx", 60.0, "scrape gap", {"phase": "fault"})
    refused = Story().error("prometheus", "no 5xx", 60.0, "parse error")
    return [
        Story(),
        ratios(("recovery", 1.0, 1.0)),
        ratios(("fault", nan, 100.0)),
        ratios(("fault", 100.0, nan)),
        ratios(("fault", None, 100.0)),
        ratios(("fault", 100.0, None)),
        ratios(("fault", 100.0, float("inf"))),
        ratios(("fault", "100", 100.0)),
        ratios(("fault", True, True)),
        ratios(("fault", 0.0, 0.0)),
        ratios(("fault", 101.0, 100.0)),
        ratios(("fault", -1.0, 100.0)),
        failed,
        refused,
    ]


@pytest.mark.parametrize("story", without_numbers())
def test_non_numbers_follow_the_no_data_option(story: Story) -> None:
    verdict, reason = judge(story, **RATIO, phases=["fault"])
    assert verdict is INCONCLUSIVE
    assert reason.startswith("fault: no data: ")
    assert judge(story, **RATIO, phases=["fault"], noData="broken")[0] is BROKEN


@pytest.mark.parametrize("value", [None, float("nan"), float("-inf"), "2"])
def test_a_value_that_is_no_number_is_no_data(value: object) -> None:
    story = Story().add("prometheus", "no 5xx", 60.0, {"phase": "fault", "value": value})
    assert judge(story, **VALUE, min=0, phases=["fault"])[0] is INCONCLUSIVE


def test_errors_give_the_reason_for_a_missing_number() -> None:
    *_, failed, refused = without_numbers()
    assert judge(failed, **RATIO, phases=["fault"])[1] == "fault: no data: scrape gap"
    assert judge(refused, **RATIO, phases=["fault"])[1] == "fault: no data: parse error"


def test_non_number_is_named() -> None:
    assert judge(ratios(("fault", None, 1.0)), **RATIO, phases=["fault"])[1] == "fault: no data: good is not a number"
    assert judge(ratios(("fault", 1.0, None)), **RATIO, phases=["fault"])[1] == "fault: no data: total is not a number"


def test_error_of_one_phase_is_not_reported_for_another() -> None:
    story = Story().error("prometheus", "no 5xx", 60.0, "scrape gap", {"phase": "settle"})
    assert judge(story, **RATIO, phases=["fault"])[1] == "fault: no data: the query was not run"


def test_reason_names_the_side_of_the_bound() -> None:
    story = Story().add("prometheus", "no 5xx", 60.0, {"phase": "fault", "value": 2.0})
    assert judge(story, **VALUE, min=1, phases=["fault"])[1] == "fault: 2, at least 1 required"
    assert judge(story, **VALUE, max=3, phases=["fault"])[1] == "fault: 2, at most 3 allowed"


def test_ratio_may_be_required_to_be_one() -> None:
    """What Prometheus counted is taken as it is; no bound of confidence decides here, and that must be said."""
    every = {**RATIO, "min": "100%"}
    assert judge(ratios(("fault", 5.0, 5.0)), **every, confidence=None, phases=["fault"])[0] is HELD
    with pytest.raises(ValidationError, match="set confidence: null to permit this"):
        Prometheus(**every)


@pytest.mark.parametrize("counted", [2.0, 40.0, 200.0])
def test_few_samples_are_inconclusive(counted: float) -> None:
    verdict, reason = judge(ratios(("fault", counted, counted)), **RATIO, phases=["fault"])
    assert verdict is INCONCLUSIVE
    assert reason.endswith("too few to decide")
    assert judge(ratios(("fault", counted, counted)), **RATIO, confidence=None, phases=["fault"])[0] is HELD


def test_every_phase_of_a_ratio_is_a_separate_claim() -> None:
    assert Prometheus(**RATIO).claims == 2
    assert Prometheus(**RATIO, phases=["fault"]).claims == 1
    assert Prometheus(**RATIO, confidence=None).claims == 0
    assert Prometheus(**VALUE, min=1).claims == 0
    assert Prometheus(**Prometheus(**VALUE, min=1).model_dump()).confidence is None


def test_the_shipped_ratio_can_hold_without_an_error() -> None:
    """80 requests a second for the 8 s of settling, among the two phases of this ratio, availability and latency."""
    ratio = Prometheus(**RATIO, phases=["settle"]).among(4)
    assert ratio.judge(ratios(("settle", 640.0, 640.0)).timeline).verdict is HELD
    assert ratio.judge(ratios(("settle", 400.0, 400.0)).timeline).verdict is INCONCLUSIVE


def test_a_phase_without_data_is_not_made_up_for_by_another() -> None:
    assert judge(ratios(("fault", 100.0, 100.0)), **RATIO)[0] is INCONCLUSIVE


def test_sums_that_differ_by_a_rounding_error_are_all() -> None:
    assert judge(ratios(("fault", 1000.0000000001, 1000.0)), **RATIO, phases=["fault"])[0] is HELD


def test_steady_state_queries_the_baseline() -> None:
    assert Prometheus(**RATIO).checks_baseline
    assert judge(ratios(("baseline", 1000.0, 1000.0)), ["baseline"], **RATIO)[0] is HELD


def test_other_objectives_answers_are_none_of_it() -> None:
    story = Story().add("prometheus", "other", 60.0, {"phase": "fault", "good": 1.0, "total": 1.0})
    assert judge(story, **RATIO, phases=["fault"])[0] is INCONCLUSIVE


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"good": "a", "total": "b", "min": "9%"}, "name\n  Field required"),
        ({"name": " ", "value": "a", "min": 1}, "at least 1 character"),
        ({"name": "n", "min": 1}, "exactly one of the two"),
        ({**RATIO, "value": "c"}, "exactly one of the two"),
        ({"name": "n", "good": "a", "min": "9%"}, "found one of good and total"),
        ({"name": "n", "good": "a", "total": "b"}, "found no min"),
        ({**RATIO, "max": 1}, "found no min or a max"),
        ({**RATIO, "min": 99}, "found min: 99, expected a share above 0%"),
        ({**RATIO, "min": "0%"}, "found min: 0, expected a share above 0%"),
        ({"name": "n", "value": "a"}, "both or neither of min and max"),
        ({"name": "n", "value": "a", "min": 1, "max": 2}, "both or neither of min and max"),
        ({**RATIO, "noData": "held"}, "'inconclusive' or 'broken'"),
        ({**RATIO, "good": ""}, "at least 1 character"),
    ],
)
def test_impossible_parameters_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Prometheus(**fields)
