"""The users' clock on probes: they come before the load, each stream has its say, others' Services have none."""

from __future__ import annotations

from harness.model.finding import DISAGREEMENT
from harness.model.requests import Requests, RequestSample
from harness.model.timeline import ProbeStream
from harness.objectives.recovery import in_a_row, recoveries
from harness.objectives.recovery_time import RecoveryTime
from tests.unit.timelines import PODINFO, Story


def stream(name: str, failing: tuple[float, float], *, service: str = "podinfo", period: float = 0.05) -> ProbeStream:
    seen = []
    for number in range(int(55 / period)):
        at = number * period
        down = failing[0] <= at < failing[1]
        seen.append(RequestSample(at, at, at + 0.002, not down, "refused" if down else "ok", ""))
    return ProbeStream(name, service, period, 0.5, Requests(seen))


def story() -> Story:
    return Story().replicas_ready("a", "b").requests(0, 55, failing=(10.2, 14)).injected(10.0, took=0.0)


def test_probes_replace_the_load_as_user_clock() -> None:
    told = story()
    told.timeline.probes = [stream("new", (10.2, 11.0))]
    (found,) = recoveries(told.timeline, PODINFO, clocks=["user"])
    assert (found.subject, found.state) == ("deployment/podinfo by new", "recovered")
    assert found.length is not None
    assert found.likely is not None
    assert found.length.low <= found.likely <= found.length.high < 1.1


def test_new_and_kept_connections_recover_separately() -> None:
    told = story()
    told.timeline.probes = [stream("new", (10.2, 11.0)), stream("kept", (0, 0))]
    states = {found.subject: found.state for found in recoveries(told.timeline, PODINFO, clocks=["user"])}
    assert states == {"deployment/podinfo by new": "recovered", "deployment/podinfo by kept": "not disrupted"}


def test_probes_of_an_unrelated_service_do_not_count() -> None:
    told = story()
    told.timeline.probes = [stream("other", (0, 0), service="other")]
    (found,) = recoveries(told.timeline, PODINFO, clocks=["user"])
    assert (found.subject, found.state) == (PODINFO, "recovered")
    assert found.length is not None
    assert found.length.high > 3.5


def test_slow_probes_need_fewer_good_ones_to_be_a_recovery() -> None:
    assert [in_a_row(1 / rate) for rate in (100, 20, 10, 2, 1)] == [10, 10, 5, 3, 3]


def judged(told: Story) -> str | None:
    return RecoveryTime(of=PODINFO, max="40s").judge(told.timeline).detail.get(DISAGREEMENT)


def test_load_and_prober_with_an_outage_agree() -> None:
    told = story()
    told.timeline.probes = [stream("new", (10.2, 11.0)), stream("kept", (0, 0))]
    assert judged(told) is None
    assert judged(story()) is None


def test_outage_seen_only_by_the_prober_is_reported() -> None:
    """Probes may ask for a path that is not ready while users are answered."""
    told = Story().replicas_ready("a", "b").requests(0, 55).injected(10.0, took=0.0)
    told.timeline.probes = [stream("new", (10.2, 11.0))]
    said = judged(told)
    assert said is not None
    assert said.startswith("the prober saw an outage (deployment/podinfo by new: back ")
    assert said.endswith("but the load did not (none of 900 requests failed)")


def test_outage_seen_only_by_the_load_is_reported() -> None:
    told = story()
    told.timeline.probes = [stream("new", (0, 0)), stream("kept", (0, 0))]
    said = judged(told)
    assert said is not None
    assert said.startswith("the load saw an outage (back ")
    assert "the prober did not (deployment/podinfo by new: none of" in said
