"""A game day has its own part at the top of the report, of the terminal's summary and of the CI summary."""

from __future__ import annotations

from harness.results.record import RunRecord
from harness.results.reporting.html import render
from harness.results.reporting.markdown import render_markdown
from harness.results.reporting.overview import run_verdict
from harness.results.reporting.summary import terminal_lines
from tests.unit.results.reporting import sample_runs


def _day() -> RunRecord:
    return sample_runs.day(sample_runs.experiment())


def test_day_that_was_aborted_is_no_success_of_the_run() -> None:
    assert run_verdict(_day()) == "INCONCLUSIVE"


def test_terminal_names_the_day_and_what_was_left_out() -> None:
    lines = [line for line, _ in terminal_lines(_day())]
    assert lines[1] == "game day friday: INCONCLUSIVE: 3 runs: 2 passed; aborted"
    assert lines[2] == "1 of 2 experiments were chosen for a budget of 20 min; expected: 90 s"


def test_terminal_lists_the_choice_of_workers_in_full() -> None:
    run = _day()
    assert run.game_day is not None
    choice = run.game_day.choice.model_copy(update={"workers": 2})
    lines = [line for line, _ in terminal_lines(run.model_copy(update={"game_day": None, "choice": choice}))]
    assert any(line.startswith("left out") and "25.0 min" in line and "long: takes 25 min" in line for line in lines)


def test_markdown_has_a_row_for_each_turn() -> None:
    text = render_markdown(_day())
    assert "### Game day friday: ❔ INCONCLUSIVE" in text
    assert "before, twin weak (round 2)".replace("(", "&#40;").replace(")", "&#41;") in text
    assert "| ➖ skipped | skipped | – | the guard says no |" in text
    assert "left out: long: takes 25 min, longer than the whole budget" in text


def test_report_links_the_turns_of_this_run_only() -> None:
    page = render(_day())
    section = page[page.index('id="game-day"') : page.index("</section>")]
    assert section.count('href="#') == 1
    assert "too many errors" in section
    assert "in run <bdi>earlier</bdi>" in section
    assert "1 experiment left out" in section


def test_report_shows_the_choice_of_a_time_budget() -> None:
    run = _day()
    assert run.game_day is not None
    page = render(run.model_copy(update={"game_day": None, "choice": run.game_day.choice}))
    assert 'id="budget"' in page
    assert 'id="game-day"' not in page
