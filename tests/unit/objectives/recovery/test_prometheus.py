"""Prometheus' clock: targets that are up, with bounds of a scrape interval and an eye for gaps."""

from __future__ import annotations

import pytest

from harness.objectives.recovery import Recovery, recoveries
from tests.unit.timelines import PODINFO, Story


def clock(story: Story, scrape_interval: float | None = None) -> Recovery:
    (found,) = recoveries(story.timeline, PODINFO, clocks=["prometheus"], scrape_interval=scrape_interval)
    return found


def counted(down_from: float, down_to: float, until: float = 55.0) -> list[tuple[float, float]]:
    return [(at + 0.5, 2 if down_from <= at + 0.5 < down_to else 3) for at in range(int(until))]


def test_first_full_sample_is_the_recovery_within_one_scrape() -> None:
    found = clock(Story().injected(10.0, took=0.0).up(counted(11, 14)))
    assert (found.state, found.began) == ("recovered", 11.5)
    assert (found.length.low, found.length.high) == pytest.approx((13.5 - 1 - 10, 14.5 + 1 - 10))


def test_the_scrape_interval_can_be_given() -> None:
    found = clock(Story().injected(10.0, took=0.0).up(counted(11, 14)), scrape_interval=2.0)
    assert found.length.high == pytest.approx(14.5 + 2 - 10)


def test_never_fewer_is_not_disrupted_within_a_scrape() -> None:
    found = clock(Story().injected(10.0).up(counted(0, 0)))
    assert (found.state, found.length.high) == ("not disrupted", 1.0)


def test_never_full_again_is_not_recovered() -> None:
    found = clock(Story().injected(10.0, took=0.0).up(counted(11, 99)))
    assert (found.state, found.length.low) == ("not recovered", pytest.approx(54.5 - 1 - 10))


def test_sample_at_the_fault_time_counts_as_after_it() -> None:
    found = clock(Story().injected(10.0, took=0.0).up((at, 2 if at == 10 else 3) for at in range(20)))
    assert (found.state, found.began) == ("recovered", 10.0)


def test_the_low_bound_does_not_lie_before_the_fault() -> None:
    found = clock(Story().injected(10.0, took=0.0).up((at, 2 if at == 10 else 3) for at in range(20)))
    assert found.length.low == 0.0


def test_a_relapse_counts() -> None:
    samples = [(at, 2 if at in {11.5, 12.5, 15.5} else 3) for at, _ in counted(0, 0)]
    found = clock(Story(settle=5).injected(10.0).up(samples))
    assert found.ended == pytest.approx(17.5)


@pytest.mark.parametrize("lost", [[12.5], [9.5], [11.5, 12.5, 13.5]])
def test_missing_samples_up_to_the_recovery_are_a_gap(lost: list[float]) -> None:
    samples = [sample for sample in counted(11, 14) if sample[0] not in {*lost, *(at + 1 for at in lost)}]
    found = clock(Story().injected(10.0).up(samples))
    assert found.state == "no data"
    assert f"{len(lost) + 2} s between two samples, with a scrape interval of 1 s" in found.reason


def test_failed_query_is_a_gap_only_up_to_the_recovery() -> None:
    early = Story().injected(10.0).up(counted(11, 14)).error("prometheus", f"up:{PODINFO}", 12.7, "503")
    late = Story().injected(10.0).up(counted(11, 14)).error("prometheus", f"up:{PODINFO}", 30.7, "503")
    assert (clock(early).state, clock(early).reason) == ("no data", "a gap in the samples: 503")
    assert clock(late).state == "recovered"


@pytest.mark.parametrize("value", [float("nan"), None, "3"])
def test_non_number_is_a_gap(value: object) -> None:
    story = Story().injected(10.0).up(counted(0, 0)).add("prometheus", f"up:{PODINFO}", 20.7, value)
    assert clock(story).state == "no data"


@pytest.mark.parametrize(
    "story",
    [
        Story().injected(10.0),
        Story().injected(10.0).up([(20.0, 3)]),
        Story().injected(10.0).up([(5.0, 3)]),
        Story().injected(10.0).up([(5.0, 0), (20.0, 3)]),
    ],
)
def test_samples_on_one_side_only_or_of_nothing_are_no_data(story: Story) -> None:
    assert clock(story).state == "no data"
