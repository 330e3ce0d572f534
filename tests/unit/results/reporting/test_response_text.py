"""The response to an outage as text: numbers with their source, and unknown with the reason."""

from __future__ import annotations

from harness.results.game_day_load import BackgroundRecord
from harness.results.game_day_record import GameDayRecord
from harness.results.game_day_response import MomentRecord, ResponseRecord, SealRecord
from harness.results.record import RunRecord
from harness.results.reporting.html import render
from harness.results.reporting.markdown import render_markdown
from harness.results.reporting.response_text import response_lines, sealed_lines
from harness.results.traffic_record import LoadRecord
from tests.unit.results.reporting import sample_runs


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
        "shop: detected 0 ms (alert Down fired; also: 90 s: entered by ann), "
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


def _run() -> RunRecord:
    load = LoadRecord(profile="steady at 5/s", target="service/shop", offered=1200, achieved=1190, failed=7)
    background = BackgroundRecord(
        run="run1", namespace="shop", started="", finished="", load=load, failure="exit code 9"
    )
    response = ResponseRecord(
        experiment="<b>one</b>",
        injected="",
        detected=MomentRecord(seconds=42.0, source="alert Down fired"),
        mitigated=MomentRecord(reason="alert Down was not resolved"),
    )
    sealed = SealRecord(hash="ab" * 32, salt="00", content='{"turns":["one"]}', command="printf x | sha256sum")
    run = sample_runs.day(sample_runs.experiment())
    assert run.game_day
    more = {"responses": [response], "background": [background], "sealed": sealed}
    return run.model_copy(update={"game_day": run.game_day.model_copy(update=more)})


def test_report_has_responses_load_and_plan() -> None:
    page = render(_run())
    section = page[page.index('id="game-day"') : page.index("</section>")]
    assert "42 s (alert Down fired)" in section
    assert "unknown (alert Down was not resolved)" in section
    assert "&lt;b&gt;one&lt;/b&gt;" in section
    assert "1,200 due, 1,190 sent, 7 failed; not generated as declared: exit code 9" in section
    assert "ab" * 32 in section
    assert "{&#34;turns&#34;:[&#34;one&#34;]}" in section
    assert "printf x | sha256sum" in section


def test_markdown_has_responses_load_and_plan() -> None:
    text = render_markdown(_run())
    assert "detected 42 s" in text
    assert "1,190 sent" in text
    assert "ab" * 32 in text
