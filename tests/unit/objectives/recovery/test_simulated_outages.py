"""The stopwatch against services with known outages: the truth must lie within the bounds, and the bounds be narrow."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.model.requests import Requests, RequestSample
from harness.objectives.recovery import Recovery, outages, recoveries
from tests.unit.timelines import PODINFO, Story


@dataclass(frozen=True)
class Service:
    """Down from ``down`` to ``back``. While down it refuses, or swallows requests until they time out, or keeps them
    and answers those that still wait when it is back. A request that is being served when it goes down is cut off."""

    down: float
    back: float
    manner: str
    serving: float = 0.01
    time_out: float = 1.0

    def answer(self, sent: float) -> tuple[bool, float]:
        """Whether a request sent at this instant succeeds, and when that is known."""
        if sent < self.down < sent + self.serving:
            return False, self.down + 0.001
        if not self.down <= sent < self.back:
            return True, sent + self.serving
        if self.manner == "refuses":
            return False, sent + 0.001
        if self.manner == "keeps" and self.back - sent < self.time_out - self.serving:
            return True, self.back + self.serving
        return False, sent + self.time_out


@dataclass(frozen=True)
class Client:
    """Open loop: due at a fixed rate, sent a little late. Talks from a second before the outage to two after it."""

    rate: float
    offset: float
    lateness: tuple[float, ...]

    def talk(self, service: Service) -> Requests:
        seen = []
        start = service.down - 1 + self.offset
        for number in range(int((service.back + 2 - start) * self.rate)):
            due = start + number / self.rate
            sent = due + self.lateness[number % len(self.lateness)]
            ok, answered = service.answer(sent)
            seen.append(RequestSample(due, sent, answered, ok, "ok" if ok else "refused", "GET /"))
        return Requests(sorted(seen, key=lambda request: request.finished))


services = st.builds(
    lambda down, length, manner, time_out: Service(down, down + length, manner, time_out=time_out),
    st.floats(10.0, 12.0),
    st.floats(0.001, 4.0),
    st.sampled_from(["refuses", "swallows", "keeps"]),
    st.floats(0.2, 2.0),
)
clients = st.builds(
    Client, st.floats(20, 100), st.floats(0, 0.05), st.lists(st.floats(0, 0.004), min_size=1, max_size=7).map(tuple)
)


def measured(service: Service, requests: Requests, bracket: float) -> Recovery:
    """The disrupting call is made when the service goes down, known to within a bracket around it."""
    story = Story(recovery=0, settle=0).injected(service.down - bracket, took=2 * bracket)
    story.timeline.requests = requests
    (found,) = recoveries(story.timeline, PODINFO, clocks=["user"])
    return found


@settings(max_examples=200, deadline=None)
@given(services, clients, st.floats(0.0, 0.2))
def test_recovery_is_within_its_bounds(service: Service, client: Client, bracket: float) -> None:
    found = measured(service, client.talk(service), bracket)
    length = service.back - service.down
    assert found.state in {"recovered", "not disrupted"}
    assert found.length.low <= length + 1e-9
    assert length <= found.length.high + 1e-9


@settings(max_examples=200, deadline=None)
@given(services, clients)
def test_the_bounds_are_a_period_and_a_time_out_apart_at_most(service: Service, client: Client) -> None:
    found = measured(service, client.talk(service), 0.0)
    allowed = 1 / client.rate + service.time_out + service.serving + 2 * max(client.lateness)
    assert found.length.high - found.length.low <= allowed + 1e-9


@settings(max_examples=200, deadline=None)
@given(services, clients)
def test_outage_length_is_within_its_bounds(service: Service, client: Client) -> None:
    """Whenever it was long enough for a request to fail in it."""
    requests = client.talk(service)
    found = outages(requests, 5.0)
    assume(found)
    (outage,) = found
    length = service.back - service.down
    error = 1 / client.rate + service.time_out + service.serving + 2 * max(client.lateness)
    assert outage.length.low - 1e-9 <= length <= outage.length.high + 1e-9
    assert outage.began.low - 1e-9 <= service.down <= outage.began.high + 1e-9
    assert outage.ended.low - 1e-9 <= service.back + service.serving
    assert abs(outage.ended.high - service.back) <= error + 1e-9
    assert math.isfinite(outage.ended.high)


@settings(max_examples=50, deadline=None)
@given(services, clients, st.randoms(use_true_random=False))
def test_order_of_recorded_requests_does_not_matter(service: Service, client: Client, random: object) -> None:
    requests = client.talk(service)
    shuffled = list(requests)
    random.shuffle(shuffled)
    assert measured(service, requests, 0.1) == measured(service, Requests(shuffled), 0.1)


@settings(max_examples=200, deadline=None)
@given(services, clients)
def test_likeliest_ends_are_within_bounds_and_near_the_truth(service: Service, client: Client) -> None:
    """Within a period of the truth, save for what is not in the requests: a request that was cut off when it was nearly
    answered, and how long an answer takes."""
    found = outages(client.talk(service), 5.0)
    assume(found)
    (outage,) = found
    assert outage.likely is not None
    assert outage.began.low <= outage.likely.low <= outage.began.high
    assert outage.ended.low <= outage.likely.high <= outage.ended.high
    near = 1 / client.rate + service.serving + 2 * max(client.lateness)
    assert abs(outage.likely.low - service.down) <= near + 1e-9
    assert abs(outage.likely.high - service.back) <= near + 1e-9
