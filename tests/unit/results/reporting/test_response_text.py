"""The response to an outage as text: numbers with their source, and unknown with the reason."""

from __future__ import annotations

from harness.results.game_day_record import GameDayRecord
from harness.results.game_day_response import MomentRecord, ResponseRecord, SealRecord
from harness.results.reporting.response_text import response_lines, sealed_lines


def test_each_moment_has_its_number_and_source() -> None:
    response = ResponseRecord(
        experiment="shop",
        injected="2026-01-05T10:00:00.000Z",
        detected=MomentRecord(seconds=0.0, source="alert Down fired", others=["90 s: entered by ann"]),
        mitigated=MomentRecord(seconds=130.0, source="entered by ann"),
        recovered=MomentRecord(reason="user clock: not recovered"),
    )
    [line] = response_lines(GameDayRecord(name="friday", responses=[response]))
    assert line == (
        "shop: detected 0 ms (alert Down fired; later: 90 s: entered by ann), "
        "mitigated 2 min 10 s (entered by ann), recovered unknown (user clock: not recovered)"
    )


def test_unknown_is_never_a_zero() -> None:
    [line] = response_lines(GameDayRecord(name="x", responses=[ResponseRecord(experiment="shop", injected="")]))
    assert line == "shop: detected unknown (no source), mitigated unknown (no source), recovered unknown (no source)"


def test_sealed_plan_is_shown_once_it_is_opened() -> None:
    assert list(sealed_lines(GameDayRecord(name="x"))) == []
    closed = SealRecord(hash="ab")
    assert list(sealed_lines(GameDayRecord(name="x", sealed=closed))) == [
        "sealed plan: SHA-256 ab",
        "the plan is still sealed",
    ]
    opened = SealRecord(hash="ab", salt="00", content="{}", command="printf")
    assert list(sealed_lines(GameDayRecord(name="x", sealed=opened)))[1:] == [
        "content: {}",
        "salt: 00",
        "to compare the hash, run: printf",
    ]
