"""The users' clock: outages out of requests, and the honesty of their bounds."""

from __future__ import annotations

import math

import pytest

from harness.model.timeline import Phase
from harness.objectives.recovery import Recovery, outages, recoveries
from tests.unit.timelines import PODINFO, Story


def clock(story: Story, since: str = "injected") -> Recovery:
    (found,) = recoveries(story.timeline, PODINFO, since=since, clocks=["user"])
    return found


def test_outage_runs_between_the_last_and_next_good_request() -> None:
    story = Story().injected(10.0, took=0.0).requests(0, 55, rate=10, failing=(10, 13), took=0.02)
    (outage,) = outages(story.timeline.requests, 10.0)
    assert (outage.began.low, outage.began.high) == pytest.approx((10.0, 10.02))
    assert (outage.ended.low, outage.ended.high) == pytest.approx((12.9, 13.02))
    assert (outage.length.low, outage.length.high) == pytest.approx((12.9 - 10.02, 13.02 - 10.0))
    found = clock(story)
    assert found.state == "recovered"
    assert (found.length.low, found.length.high) == pytest.approx((2.9, 3.02))


def test_single_failed_request_is_an_outage_of_about_a_period() -> None:
    story = Story().injected(10.0).requests(0, 55, rate=20, failing=(20, 20.04))
    (outage,) = outages(story.timeline.requests, 10.0)
    assert outage.length.high <= 2 / 20 + 0.011
    assert clock(story).ended == pytest.approx(20.06)


def test_outage_ends_only_with_ten_good_requests_in_a_row() -> None:
    story = Story().injected(10.0)
    for number in range(200):
        story.request(9 + number / 10, ok=number % 10 != 9 or number > 100)
    (outage,) = outages(story.timeline.requests, 10.0)
    assert outage.ended.low == pytest.approx(9 + 99 / 10)


def test_separate_outages_are_counted_and_the_span_covers_all() -> None:
    story = Story(settle=5).injected(10.0).requests(0, 12, failing=(10, 11)).requests(12, 55, failing=(14, 15))
    found = clock(story)
    assert len(outages(story.timeline.requests, 10.0)) == 2
    assert found.ended == pytest.approx(15.01)
    assert "2 outages, 2.02 s down in total, measured to the end of the last" in found.reason


def test_failure_long_after_recovery_is_reported_but_not_counted() -> None:
    story = Story(settle=5).injected(10.0).requests(0, 30, failing=(10, 11)).requests(30, 55, failing=(30, 30.04))
    found = clock(story)
    assert found.ended == pytest.approx(11.01)
    assert "1 later outage after" in found.reason


def test_time_outs_are_ordered_by_when_they_were_sent() -> None:
    """Those of the outage end among the good requests that came after it."""
    story = Story().injected(10.0, took=0.0)
    for number in range(200):
        at = 9 + number / 20
        down = 10 <= at < 12
        story.request(at, ok=not down, took=1.0 if down else 0.01, outcome="timeout")
    (outage,) = outages(story.timeline.requests, 10.0)
    assert (outage.ended.low, outage.ended.high) == pytest.approx((11.95, 12.01))


def test_recovery_never_precedes_the_first_sign_of_its_outage() -> None:
    """A short hang whose time-outs end long after the service is back."""
    story = Story().injected(10.0, took=0.0)
    for number in range(200):
        at = 9 + number / 20
        down = 10 <= at < 10.5
        story.request(at, ok=not down, took=2.0 if down else 0.01, outcome="timeout")
    (outage,) = outages(story.timeline.requests, 10.0)
    assert outage.began.high <= outage.ended.high
    assert (clock(story).began, clock(story).ended) == pytest.approx((10.0, 10.51))


def test_total_downtime_counts_from_the_first_failure_of_each() -> None:
    story = Story(settle=5).injected(10.0, took=0.0)
    for number in range(400):
        at = 9 + number / 20
        down = 10 <= at < 11 or 13 <= at < 14
        story.request(at, ok=not down, took=2.0 if down else 0.01, outcome="timeout")
    assert "2 outages, 2.02 s down in total" in clock(story).reason


def test_failed_request_in_flight_at_the_fault_is_an_outage() -> None:
    story = Story().injected(10.0).requests(0, 9.5).request(9.9, ok=False, took=0.5).requests(10, 55)
    assert clock(story).state == "recovered"


def test_failures_over_before_the_fault_are_not_attributed_to_it() -> None:
    story = Story().injected(10.0).requests(0, 55, failing=(3, 4))
    assert clock(story).state == "not disrupted"


def test_no_failure_bounds_the_outage_by_the_request_spacing() -> None:
    found = clock(Story().injected(10.0).requests(0, 55, rate=20, took=0.01))
    assert found.state == "not disrupted"
    assert found.length.low == 0
    assert found.length.high == pytest.approx(1 / 20 + 0.01)


def test_a_request_that_waited_the_outage_out_widens_the_bound() -> None:
    """A frozen server answers late: nothing failed, and nobody was served."""
    story = Story().injected(10.0).requests(0, 12).request(12.0, took=1.5).requests(13.5, 55)
    assert clock(story).length.high >= 1.5


def test_no_ten_good_requests_in_a_row_are_no_recovery() -> None:
    story = Story().injected(10.0, took=0.0).requests(0, 20, rate=10, failing=(10, 19.5))
    found = clock(story)
    assert found.state == "not recovered"
    assert found.length.low == pytest.approx(9.4)
    assert math.isinf(found.length.high)


def test_a_load_that_fell_silent_is_no_proof_of_health() -> None:
    found = clock(Story().injected(10.0).requests(0, 25))
    assert found.state == "no data"
    assert "before the end" in found.reason


def test_a_silence_of_a_few_periods_is_no_silence() -> None:
    """One request in two seconds, the last of them four seconds before the recovery phase ends."""
    assert clock(Story(settle=0).injected(10.0).requests(0, 48, rate=0.5)).state == "not disrupted"


def test_unfinished_recovery_phase_is_no_silence() -> None:
    story = Story(settle=0).injected(10.0).requests(0, 30)
    story.timeline.phases[-1] = Phase("recovery", 20.0, math.inf)
    story.timeline.phases = [phase for phase in story.timeline.phases if phase.name != "baseline"]
    assert clock(story).state == "not disrupted"


def test_a_failure_at_the_instant_of_the_fault_is_its_doing() -> None:
    story = Story().injected(10.0).requests(0, 9).request(9.5, ok=False, took=0.5).requests(10.1, 55)
    assert clock(story).state == "recovered"


def test_no_requests_after_the_fault_are_no_data() -> None:
    assert clock(Story().injected(10.0).requests(0, 10)).state == "no data"
    assert clock(Story().injected(10.0)).state == "no data"


def test_from_an_undo_only_the_rest_of_the_outage_counts() -> None:
    story = Story().injected(10.0, took=0.0, undone=20.0).requests(0, 55, rate=10, failing=(11, 23))
    assert clock(story, since="undone").length.high == pytest.approx(3.01)


def silent(*spans: tuple[float, float], down: tuple[float, float], settle: float = 5) -> Story:
    """Twenty requests a second, save in these spans; down between two instants, as far as anybody asked."""
    story = Story(settle=settle).injected(10.0, took=0.0)
    for number in range(55 * 20):
        at = number / 20
        if not any(start <= at < end for start, end in spans):
            story.request(at, ok=not down[0] <= at < down[1])
    return story


def test_silence_in_an_outage_counts_only_in_the_upper_bound() -> None:
    found = clock(silent((12, 15), down=(10, 17)))
    assert (found.length.low, found.length.high) == pytest.approx((6.95, 7.01))
    assert "so it was down for at least 3.88 s and at most 7.01 s in total" in found.reason


def test_outage_after_a_long_silence_may_not_be_due_to_the_fault() -> None:
    found = clock(silent((12, 20), down=(10, 22)))
    assert found.state == "recovered"
    assert (found.length.low, found.length.high) == pytest.approx((1.95, 12.01))


def test_service_down_at_the_end_has_not_recovered() -> None:
    """Whether it was up during a long silence decides how long it was down, not whether it is back."""
    found = clock(silent((12, 20), down=(10, 60)))
    assert found.state == "not recovered"
    assert found.length.low == pytest.approx(44.95)
    assert "or more in total" in found.reason


def test_silence_soon_after_an_outage_may_hide_a_new_one() -> None:
    found = clock(silent((13, 16), down=(10, 12)))
    assert (found.length.low, found.length.high) == pytest.approx((1.95, 6.01))
    assert "at least 1.94 s and at most" in found.reason


def test_outage_joined_by_a_silence_may_be_due_to_the_fault() -> None:
    story = silent((15, 18), down=(10, 12))
    for number in range(10):
        story.request(21 + number / 100, ok=False)
    assert clock(story).length.high == pytest.approx(11.11, abs=0.06)


def test_a_silence_in_the_settle_phase_may_hide_a_relapse() -> None:
    found = clock(silent((51, 53), down=(10, 12)))
    assert (found.length.low, found.length.high) == pytest.approx((1.95, 43.01))


def test_silence_long_after_the_recovery_changes_nothing() -> None:
    assert clock(silent((30, 33), down=(10, 12))) == clock(silent(down=(10, 12)))


def test_a_pause_of_a_few_periods_is_no_silence() -> None:
    assert clock(silent((11, 11.9), down=(10, 12))) == clock(silent(down=(10, 12)))


@pytest.mark.parametrize("phases", [4, 3], ids=["in the end", "while it runs"])
def test_a_relapse_that_is_not_over_is_no_recovery(phases: int) -> None:
    story = silent((16, 18), down=(11, 13))
    for number in range(340):
        story.request(21 + number / 10, ok=False)
    del story.timeline.phases[phases:]
    found = clock(story)
    assert found.state == "not recovered"
    # The failures of the last half second, with good requests between them, may be the machine's.
    assert found.length.low == pytest.approx(44.4)
    assert math.isinf(found.length.high)


def slowing(*down: tuple[float, float]) -> Story:
    """Twenty requests a second for the first half of the recovery, one in one and a half seconds for the second."""
    story = Story().injected(10.0, took=0.0)
    for at in [*(number / 20 for number in range(600)), *(30 + number * 1.5 for number in range(17))]:
        story.request(at, ok=not any(start <= at < end for start, end in down))
    return story


def test_slowing_load_is_not_silent_between_requests() -> None:
    assert clock(slowing((10, 12))).length.high == pytest.approx(2.01)
    assert "nothing was sent" not in clock(slowing((10, 12))).reason


def test_a_load_that_has_slowed_down_is_not_silent_at_the_end() -> None:
    story = Story(settle=0).injected(10.0)
    for at in [*(number / 20 for number in range(600)), *(30 + number * 1.5 for number in range(12))]:
        story.request(at)
    assert clock(story).state == "not disrupted"


def test_a_silence_is_one_beside_the_gaps_around_it() -> None:
    """Slow for most of the run and fast at last: three seconds are nothing among the slow ones, much among the fast."""
    story = Story().injected(10.0, took=0.0)
    slow, fast = [number / 2 for number in range(60)], [30 + number / 10 for number in range(14)]
    for at in [*slow, *fast, *(34.3 + number / 10 for number in range(20))]:
        story.request(at, ok=not 10 <= at < 34.8)
    assert "nothing was sent for a while" in clock(story).reason
