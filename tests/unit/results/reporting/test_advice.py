"""Advice is shown under what did not pass: its cause and evidence everywhere, and the change in the report."""

from __future__ import annotations

from harness.results.advice_record import AdviceRecord
from harness.results.reporting.advice import line, patch
from harness.results.reporting.html import render
from harness.results.reporting.markdown import render_markdown
from harness.results.reporting.summary import terminal_lines
from tests.unit.results.reporting import sample_runs

ADVICE = AdviceRecord(
    rule="one-replica",
    cause="deployment/shop has one replica",
    evidence="12 requests failed <b>",
    strength="observed",
    explains=["availability"],
    patch={"deployment/shop": {"spec": {"replicas": 2, "strategy": None}}},
)


def test_line_has_how_well_the_evidence_supports_the_cause() -> None:
    assert line(ADVICE) == "cause: deployment/shop has one replica (12 requests failed <b>)"
    assert line(ADVICE.model_copy(update={"strength": "likely"})).startswith("likely cause: ")
    assert line(ADVICE.model_copy(update={"strength": "possible"})).startswith("possible cause: ")


def test_change_is_shown_as_yaml() -> None:
    assert patch(ADVICE) == "deployment/shop:\n  spec:\n    replicas: 2\n    strategy: null\n"
    assert patch(ADVICE.model_copy(update={"patch": {}})) == ""


def test_terminal_markdown_and_report_show_the_cause() -> None:
    record = sample_runs.broken().model_copy(update={"advice": [ADVICE, ADVICE.model_copy(update={"cause": "other"})]})
    run = sample_runs.run(record)
    lines = [text.strip() for text, _ in terminal_lines(run, width=200)]
    assert line(ADVICE) in lines
    # The others are in the report.
    assert not any("other (" in each for each in lines)
    assert "  - cause: other &#40;12 requests failed" in render_markdown(run)
    page = render(run)
    assert "Cause: deployment/shop has one replica (12 requests failed &lt;b&gt;)" in page
    assert "<pre><code>deployment/shop:\n  spec:\n    replicas: 2" in page


def test_run_without_advice_has_no_section() -> None:
    assert "Likely causes" not in render(sample_runs.run(sample_runs.broken()))
