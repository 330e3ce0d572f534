"""What the report says of a control arm and of a series, and that it says it the same way everywhere."""

from __future__ import annotations

from harness.model.verdict import Verdict
from harness.results.reporting import overview
from harness.results.reporting.html import render
from harness.results.reporting.markdown import render_markdown
from harness.results.reporting.panels import panels
from harness.results.reporting.store import slug
from harness.results.reporting.summary import junit_properties, terminal_lines
from tests.unit.results.reporting import sample_runs
from tests.unit.results.reporting.test_html import Page


def said(text: str) -> str:
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def page_of(*records: sample_runs.ExperimentRecord) -> Page:
    return Page(render(sample_runs.run(*records)))


def test_control_arm_is_shown_for_each_objective_it_covers() -> None:
    text = said(" ".join(page_of(sample_runs.controlled()).text))
    assert "Observed Control arm Limit" in text
    assert "99.94% −13.04 points (−14.3 to −11.9 points)" in text
    assert "rh-kill-all--control-20261123-071000-3fa2 (control arm)" in text


def test_report_without_a_control_arm_omits_it() -> None:
    text = said("".join(page_of(sample_runs.experiment()).text)).lower()
    assert "control arm" not in text


def test_chart_draws_control_requests_and_latencies_separately() -> None:
    drawn = panels(sample_runs.controlled())
    for title, words in (
        ("Requests a second", "control arm, answered; 2 failed"),
        ("Latency", "p95 of the control"),
    ):
        (panel,) = [each for each in drawn if each.title.startswith(title)]
        assert any(swatch == "control" and words in text for swatch, text in panel.keys)
        assert 'class="line control"' in panel.plot
    assert not any("line control" in str(panel.plot) for panel in panels(sample_runs.broken()))


def test_series_shows_its_tally_and_distribution() -> None:
    record = sample_runs.repeated()
    assert overview.verdict_text(record) == "INCONCLUSIVE 2/3"
    assert said(overview.time_to_recover(record)) == "p50 7.2–7.6 s, max over 60 s (user)"
    lines = [said(text) for text, _ in terminal_lines(sample_runs.run(record))]
    assert any("again INCONCLUSIVE 2/3 p50 7.2–7.6 s, max over 60 s (user)" in line for line in lines)
    assert "INCONCLUSIVE 2/3 | again | p50 7.2–7.6 s, max over 60 s |" in said(render_markdown(sample_runs.run(record)))
    properties = dict(junit_properties(record))
    assert properties["attempts"] == "3"
    assert properties["recovery.user.p50.high"] == "7.600"
    assert "recovery.user.max.high" not in properties


def test_every_attempt_can_be_reached_with_all_its_details() -> None:
    record = sample_runs.repeated()
    page = page_of(record)
    ids, links = page.attributes("id"), page.attributes("href")
    assert len(set(ids)) == len(ids)
    for attempt in record.attempts:
        assert slug(attempt) in ids
        assert f"#{slug(attempt)}" in links
    assert len({slug(each) for each in [record, *record.attempts]}) == 4
    text = said("".join(page.text))
    assert text.count("Faults podKill") == 3
    assert "at least 6.9 s" in text or "over 6.9 s" in text


def test_an_attempt_that_broke_is_not_the_verdict_of_the_run() -> None:
    """The series decides, not the one attempt."""
    series = sample_runs.repeated().series
    assert series is not None
    held = sample_runs.repeated().model_copy(
        update={"verdict": Verdict.HELD, "passed": True, "series": series.model_copy(update={"as_should": 9})}
    )
    run = sample_runs.run(held)
    assert overview.run_verdict(run) is Verdict.HELD
    assert overview.headline(run) == "1 experiment held."
    assert "HELD 9/10" in said("".join(Page(render(run)).text))


def test_twin_that_breaks_every_time_is_the_expected_result() -> None:
    series = sample_runs.repeated().series
    twin = sample_runs.twin().model_copy(update={"series": series, "attempts": [sample_runs.twin()]})
    assert overview.verdict_text(twin) == "BROKEN 2/3, as expected"
