"""What all objectives are put together from: findings combined, times judged, series read."""

from __future__ import annotations

import pytest

from harness.model.finding import Finding
from harness.model.reported import Unknown
from harness.model.timeline import Interval
from harness.model.verdict import Verdict
from harness.objectives._findings import combined, inconclusive, never, show_length, within
from harness.objectives._series import between, counts, in_force, last_before, statuses, values
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def test_worst_part_decides_and_every_detail_is_kept() -> None:
    parts = [
        Finding(verdict=HELD, reason="fine", observed=1.0, detail={"a": "1"}),
        Finding(verdict=BROKEN, reason="first", observed=2.0, detail={"b": "2"}),
        Finding(verdict=BROKEN, reason="second", observed=3.0),
    ]
    found = combined(parts)
    assert (found.verdict, found.reason, found.observed) == (BROKEN, "first; second", 2.0)
    assert found.detail == {"a": "1", "b": "2"}
    assert combined([parts[0], inconclusive("unknown")]).reason == "unknown"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1, 5, HELD), (5, 5, HELD), (4, 6, INCONCLUSIVE), (5, 6, INCONCLUSIVE), (5.1, 6, BROKEN), (6, 600, BROKEN)],
)
def test_time_holds_or_breaks_only_when_certain(low: float, high: float, verdict: Verdict) -> None:
    assert within("it came", Interval(low, high), 5.0, "the fault").verdict is verdict


def test_time_is_reported_with_its_bounds_and_limit() -> None:
    found = within("it came", Interval(1.0, 2.0), 5.0, "the fault")
    assert found.reason == "it came 1 s to 2 s after the fault, at most 5 s was allowed"
    assert (found.low, found.observed, found.high, found.margin) == (1.0, 2.0, 2.0, 3.0)
    assert show_length(Interval(2.0, 2.0)) == "2 s"


@pytest.mark.parametrize(("watched", "verdict"), [(5.1, BROKEN), (5.0, INCONCLUSIVE), (1.0, INCONCLUSIVE)])
def test_missing_event_breaks_only_after_a_long_enough_watch(watched: float, verdict: Verdict) -> None:
    assert never("it came", watched, 5.0, "the fault").verdict is verdict


def test_missing_event_is_reported_with_the_observed_time() -> None:
    expected = "it came: not observed in the 9 s after the fault, at most 5 s was allowed"
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


def ready(*seen: tuple[float, int | None], generation: int = 1) -> Story:
    """(at, ready) of podinfo; None is written by a controller that has not caught up."""
    story = Story()
    for at, number in seen:
        observed = generation if number is not None else generation - 1
        value = {"ready": number or 0, "generation": generation, "observed_generation": observed}
        story.add("workloads", PODINFO, at, value)
    return story


def numbers(story: Story, start: float = 10.0, end: float = 55.0) -> list[int | str]:
    found = counts(statuses(story.timeline, "workloads", PODINFO), "workloads", "ready")
    within_it = between(found, PODINFO, start, end)
    return ["unknown" if isinstance(count.number, Unknown) else count.number for count in within_it]


def test_an_absent_count_is_unknown() -> None:
    (seen,) = statuses(Story().add("workloads", PODINFO, 1.0, {"ready": None}).timeline, "workloads", PODINFO)
    assert seen.count("ready") == Unknown("the status of deployment/podinfo has no number for ready")
    assert isinstance(seen.count("available"), Unknown)


def test_a_controller_is_behind_for_a_moment_after_a_change() -> None:
    assert numbers(ready((1, 3), (12, None), (13, None), (16.9, 2))) == [3, 2]
    assert numbers(ready((1, 3), (12, None), (13, None), (17.1, 2))) == [3, "unknown", "unknown", 2]


def test_unknown_stays_unknown_until_a_reading() -> None:
    assert numbers(ready((1, 3), (12, None))) == [3, "unknown"]
    assert numbers(ready((1, None), (12, 3))) == ["unknown", 3]


def test_state_before_the_first_reading_is_unknown() -> None:
    assert numbers(ready((12, 3))) == ["unknown", 3]
    assert numbers(ready((10, 3))) == [3]
    assert numbers(Story()) == []


def test_deleted_object_counts_as_unknown_until_recreated() -> None:
    story = ready((1, 3)).add("workloads", PODINFO, 12, {"event": "DELETED", "ready": 0})
    story.add("workloads", PODINFO, 12.5, {"ready": 3, "generation": 1, "observed_generation": 1})
    assert numbers(story) == [3, "unknown", 3]
