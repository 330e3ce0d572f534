"""Error rate: the failures that are asked about, held against an upper limit by exact bounds."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.availability import Availability
from harness.objectives.error_rate import ErrorRate
from tests.unit.timelines import Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def run(total: int = 1000, **outcomes: int) -> Story:
    """``total`` requests after the baseline, of which so many ended with each outcome (``_503``, ``timeout``)."""
    story, ways = Story(), [name.lstrip("_") for name, count in outcomes.items() for _ in range(count)]
    for number in range(total):
        bad = ways[number] if number < len(ways) else ""
        story.request(10 + 45 * number / total, ok=not bad, outcome=bad)
    return story.load()


@pytest.mark.parametrize(("failed", "verdict"), [(0, HELD), (2, HELD), (8, INCONCLUSIVE), (30, BROKEN)])
def test_error_rate_mirrors_availability(failed: int, verdict: Verdict) -> None:
    story = run(timeout=failed)
    rate, share = ErrorRate(max="1%").judge(story.timeline), Availability(min="99%").judge(story.timeline)
    assert (rate.verdict, share.verdict) == (verdict, verdict)
    assert rate.observed == pytest.approx(100 - (share.observed or 0))
    assert rate.low == pytest.approx(100 - (share.high or 0))
    assert rate.margin == pytest.approx(share.margin)
    assert (rate.comparison, rate.good) == ("<=", share.good)


def test_only_selected_kinds_count() -> None:
    story = run(_500=10, _503=10, timeout=30, refused=50)
    counted = {
        kinds: ErrorRate(max="1%", kinds=kinds).judge(story.timeline) for kinds in (("5xx",), ("503", "timeout"))
    }
    assert [finding.observed for finding in counted.values()] == [pytest.approx(2), pytest.approx(4)]
    assert counted[("5xx",)].detail == {"failed: 500": "10", "failed: 503": "10"}
    assert ErrorRate(max="1%", kinds=["4xx"]).judge(story.timeline).verdict is HELD


def test_reason_names_kind_rate_and_limit() -> None:
    assert ErrorRate(max="1%", kinds=["5xx"]).judge(run(_503=30).timeline).reason == (
        "30 of 1000 requests failed with 5xx (3%): at least 2.167% with 95% confidence, 1% allowed"
    )
    assert "1% allowed" in ErrorRate(max="1%").judge(run().timeline).reason
    reason = ErrorRate(max="0.1%").judge(run().timeline).reason
    assert "2995 requests without a further failure would show that it holds" in reason


def test_no_requests_are_inconclusive() -> None:
    assert ErrorRate(max="1%").judge(Story().load().timeline).verdict is INCONCLUSIVE


def test_fewer_requests_than_required_are_inconclusive() -> None:
    finding = ErrorRate(max="1%", minSamples=2000).judge(run().timeline)
    assert finding.verdict is INCONCLUSIVE
    assert "fewer than the required 2000 requests" in finding.reason


@pytest.mark.parametrize("kinds", [["ok"], ["6xx!"], [""], []])
def test_unknown_failure_kind_is_refused(kinds: list[str]) -> None:
    with pytest.raises(ValidationError):
        ErrorRate(max="1%", kinds=kinds)
