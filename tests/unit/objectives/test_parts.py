"""What all objectives are put together from: findings combined, times judged, series read."""

from __future__ import annotations

import pytest

from harness.objective import Finding
from harness.objectives._findings import combined, inconclusive, never, show_length, within
from harness.objectives._series import in_force, last_before, number, values
from harness.observation import Interval
from harness.verdict import Verdict
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def test_the_worst_part_speaks_and_every_detail_is_kept() -> None:
    parts = [
        Finding(HELD, "fine", observed=1.0, detail={"a": "1"}),
        Finding(BROKEN, "first", observed=2.0, detail={"b": "2"}),
        Finding(BROKEN, "second", observed=3.0),
    ]
    found = combined(parts)
    assert (found.verdict, found.reason, found.observed) == (BROKEN, "first; second", 2.0)
    assert found.detail == {"a": "1", "b": "2"}
    assert combined([parts[0], inconclusive("unknown")]).reason == "unknown"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1, 5, HELD), (5, 5, HELD), (4, 6, INCONCLUSIVE), (5, 6, INCONCLUSIVE), (5.1, 6, BROKEN), (6, 600, BROKEN)],
)
def test_a_time_holds_when_it_certainly_did_and_breaks_when_it_certainly_did_not(
    low: float, high: float, verdict: Verdict
) -> None:
    assert within("it came", Interval(low, high), 5.0, "the fault").verdict is verdict


def test_a_time_is_told_with_its_bounds_and_its_limit() -> None:
    found = within("it came", Interval(1.0, 2.0), 5.0, "the fault")
    assert found.reason == "it came 1.00 s to 2.00 s after the fault, at most 5.00 s was allowed"
    assert (found.low, found.observed, found.high, found.margin) == (1.0, 2.0, 2.0, 3.0)
    assert show_length(Interval(2.0, 2.0)) == "2.00 s"


@pytest.mark.parametrize(("watched", "verdict"), [(5.1, BROKEN), (5.0, INCONCLUSIVE), (1.0, INCONCLUSIVE)])
def test_what_never_came_breaks_only_what_was_watched_for_long_enough(watched: float, verdict: Verdict) -> None:
    assert never("it came", watched, 5.0, "the fault").verdict is verdict


def test_what_never_came_is_told_with_how_long_it_was_watched() -> None:
    expected = "it came not in the 9.00 s that it was watched after the fault, at most 5.00 s was allowed"
    assert never("it came", 9.0, 5.0, "the fault").reason == expected
    assert "in the 0 ms" in never("it came", -1.0, 5.0, "the fault").reason


def test_a_series_is_read_without_its_errors_and_gaps() -> None:
    story = Story().add("workloads", PODINFO, 1.0, {"ready": 3}).add("workloads", PODINFO, 2.0, None)
    story.error("workloads", PODINFO, 3.0, "unreadable", {"ready": 0}).error("workloads", PODINFO, 4.0, "gone")
    assert [seen.at for seen in values(story.timeline, "workloads", PODINFO)] == [1.0]


def test_in_force_is_the_last_value_before_and_all_within() -> None:
    story = Story()
    for at in (1.0, 4.0, 5.0, 6.0, 9.0, 9.5):
        story.add("workloads", PODINFO, at, {"ready": 3})
    seen = values(story.timeline, "workloads", PODINFO)
    assert [one.at for one in in_force(seen, 5.0, 9.0)] == [4.0, 5.0, 6.0, 9.0]
    assert [one.at for one in in_force(seen, 0.5)] == [1.0, 4.0, 5.0, 6.0, 9.0, 9.5]
    assert last_before(seen, 1.0) is None


def test_an_absent_count_is_zero() -> None:
    """The API leaves zeros out."""
    (seen,) = values(Story().add("workloads", PODINFO, 1.0, {"ready": None}).timeline, "workloads", PODINFO)
    assert (number(seen, "ready"), number(seen, "available")) == (0, 0)
