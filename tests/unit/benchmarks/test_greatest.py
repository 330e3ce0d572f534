"""The search for the greatest rate, and what counts as held."""

from __future__ import annotations

import pytest

from benchmarks.greatest import SHARES, TOO_MUCH, Ran, minute, saturated, search
from harness.model.requests import Requests, RequestSample
from harness.model.timeline import LoadSummary


def ran(rate: float = 10.0, *, seconds: float = 4.0, behind: float = 0.0, **summary: int | str | bool) -> Ran:
    count = int(rate * (1 + seconds))
    times = [(number + 1) / rate for number in range(count)]
    requests = Requests(RequestSample(at, at + behind, at + behind + 0.001, True, "ok", "GET /") for at in times)
    made = LoadSummary(**({"offered": count, "achieved": count} | summary))  # type: ignore[arg-type]
    return Ran(rate, seconds, 1, made, requests)


@pytest.mark.parametrize("limit", [40.0, 47.0, 60.0, 95.0])
def test_greatest_rate_held_is_near_the_capacity(limit: float) -> None:
    asked: list[float] = []

    def attempt(rate: float) -> Ran:
        asked.append(rate)
        # Too much asked for: 100 a second are started, and the others dropped.
        return ran(min(rate, 100.0)) if rate <= limit else ran(100.0, offered=9999, dropped=1)

    found, saturated_run = search(attempt)
    assert limit - 10 < found <= limit
    assert asked[0] == TOO_MUCH
    assert len(asked) <= 1 + len(SHARES)
    assert not saturated_run.held


def test_search_ends_if_nothing_or_everything_is_held() -> None:
    assert search(lambda _: ran(dropped=1, achieved=49))[0] == 0
    assert search(lambda _: ran())[0] == TOO_MUCH


@pytest.mark.parametrize(
    "summary",
    [
        {"dropped": 1, "achieved": 49},
        {"offered": 51, "achieved": 51},
        {"failed": 1},
        {"late": 1},
        {"error": "load: the workers did not divide the same arrivals"},
    ],
)
def test_rate_is_not_held_if_anything_is_missing(summary: dict[str, int]) -> None:
    assert ran().held
    assert not ran(**summary).held


def test_generator_at_its_limit_never_blames_the_service() -> None:
    row = saturated(ran(100.0, behind=1.5, offered=1000, achieved=500, dropped=500, saturated=True))
    assert (row["availability"], row["latency"]) == ("INCONCLUSIVE", "INCONCLUSIVE")
    late_alone = saturated(ran(100.0, behind=0.5))
    assert late_alone["latency"] == "INCONCLUSIVE"


def test_arrivals_are_compared_with_the_profile() -> None:
    row = minute(ran(1000.0, seconds=10.0))
    assert (row["error_percent"], row["dropped"]) == (0.0, 0)
    assert row["start_late_worst_ms"] == 0.0
    late = minute(ran(1000.0, seconds=10.0, behind=0.5))
    assert late["start_late_p50_ms"] == 500.0
    assert late["worst_second_percent"] == 0.0
