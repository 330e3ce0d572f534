"""The scale benchmark: whose turn it is, and the rows made of several rounds."""

from __future__ import annotations

import pytest

from benchmarks.scale import CLIENTS, Followed, Part, followed_rows, part_row, turns
from harness.common.errors import HarnessError


def followed(wall_s: float, lags: list[float], busy: float | None = None) -> Followed:
    part = Part(wall_s, wall_s / 2, 100.4 + wall_s, busy)
    return Followed(part, part, 10_000, 3, lags)


def test_the_clients_change_places_in_every_round() -> None:
    first, second = CLIENTS
    assert [turns(number) for number in range(3)] == [[first, second], [second, first], [first, second]]


def test_rounds_are_reported_as_median_with_minimum_and_maximum() -> None:
    rounds = [followed(3.0, [1.0, 2.0, 3.0]), followed(9.0, [30.0, 40.0], 1.2), followed(4.0, [5.0, 6.0, 7.0])]
    listing, lag = followed_rows("tool", rounds)
    assert listing == {
        "part": "list",
        "tool": "tool",
        "rounds": 3,
        "wall_s": 4.0,
        "wall_min_s": 3.0,
        "wall_max_s": 9.0,
        "cpu_s": 2.0,
        "cpu_min_s": 1.5,
        "cpu_max_s": 4.5,
        "peak_mb": 104,
        "peak_min_mb": 103,
        "peak_max_mb": 109,
        "samples": 10_000,
        "not_at_rest": 1,
    }
    wanted = {
        "samples": 8,
        "missed": 1,
        "median_ms": 5.0,
        "median_min_ms": 2.0,
        "median_max_ms": 30.0,
        "worst_ms": 40.0,
    }
    assert {name: lag[name] for name in wanted} == wanted


def test_a_single_round_has_no_spread() -> None:
    row = part_row("choose", "tool", [Part(1.234, 0.5, 60.0, None)], 1)
    assert [name for name in row if "_min_" in name or "_max_" in name] == []
    assert (row["wall_s"], row["peak_mb"], row["not_at_rest"]) == (1.23, 60, 0)


def test_round_without_observations_is_an_error() -> None:
    with pytest.raises(HarnessError, match="none of 3 deletions"):
        list(followed_rows("tool", [followed(3.0, [1.0]), followed(3.0, [])]))
