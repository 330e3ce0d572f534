"""The end of pytest's output, JUnit's properties and the CI summary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.reporting.markdown import render_markdown
from harness.reporting.plain import display_width, fit, harmless, one_line
from harness.reporting.summary import junit_properties, terminal_lines

from . import sample_runs

REPORT = Path("reports/20261123-071000-3fa2/index.html")


def test_the_summary_tells_verdict_recovery_and_margin_of_each() -> None:
    lines = terminal_lines(sample_runs.mixed(), REPORT, width=160)
    text = [line.replace("\N{NO-BREAK SPACE}", " ") for line, _ in lines]
    assert text[0].startswith("BROKEN: 5 experiments: 1 broke")
    assert re.match(r"kill-all +BROKEN +8.1 s \(user\) +availability: 86.9% \(at least 99.9%\), −13 points$", text[2])
    assert text[3].strip().startswith("availability: 403 of 3085 requests failed")
    assert re.search(r"^  twin single-replica +BROKEN, as it must +6.2 s", "\n".join(text), re.MULTILINE)
    assert text[-1] == f"report: {REPORT}"
    styles = {line.split()[0]: style for line, style in lines}
    assert (styles["kill-all"], styles["pod-kill"], styles["leader-kill"], styles["twin"]) == (
        "red",
        "green",
        "yellow",
        "green",
    )


def test_columns_are_aligned_whatever_the_names() -> None:
    """Wide characters, long names and missing values included: every row's columns begin where the heading's do."""
    names = ["short", "名前の長い実験", "x" * 300, "e\u0301" * 10, "🧨🧨"]
    records = [sample_runs.experiment(name).model_copy(update={"name": name}) for name in names]
    lines = [line for line, _ in terminal_lines(sample_runs.run(*records), width=160)][1:7]
    starts = {
        display_width(line[: line.index(word)]) for line, word in zip(lines, ["verdict", *["HELD"] * 5], strict=True)
    }
    assert len(starts) == 1


@pytest.mark.parametrize("name", ["mixed", "hostile", "run"])
def test_no_line_is_wider_than_asked_for_or_moves_the_cursor(name: str) -> None:
    for line, _ in terminal_lines(getattr(sample_runs, name)(), width=80):
        assert display_width(line) <= 80 or line.startswith("BROKEN: ")
        assert line.isprintable() or "\N{NO-BREAK SPACE}" in line
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)


def test_nothing_run_is_said_so() -> None:
    assert terminal_lines(sample_runs.run()) == [("INCONCLUSIVE: No experiment was run.", "yellow")]


def test_junit_has_the_bare_numbers() -> None:
    properties = dict(junit_properties(sample_runs.broken(), REPORT))
    assert properties["verdict"] == "BROKEN"
    assert properties["reason"].startswith("availability: 403 of 3085")
    assert float(properties["objective.availability.observed"]) == pytest.approx(0.869)
    assert float(properties["objective.availability.limit"]) == 0.999
    assert float(properties["objective.availability.margin"]) == pytest.approx(-0.13)
    assert properties["objective.availability.samples"] == "3085"
    assert properties["recovery.user.state"] == "recovered"
    assert float(properties["recovery.user.low"]) == pytest.approx(8.06)
    assert properties["recovery.prometheus.state"] == "no data"
    assert "recovery.prometheus.low" not in properties
    assert properties["report"] == str(REPORT)


def test_junit_tells_what_a_twin_is_for() -> None:
    properties = dict(junit_properties(sample_runs.twin()))
    assert (properties["twin"], properties["twin.outcome"]) == ("single-replica", "broke availability, as it must")
    assert "report" not in properties


def test_markdown_is_a_table_that_names_cannot_leave() -> None:
    """Every row has as many cells as the heading, and no markup, mention or address of a stranger's comes alive."""
    for made in (sample_runs.mixed(), sample_runs.hostile()):
        text = render_markdown(made)
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len(rows) == 2 + len(made.experiments)
        assert {row.count("|") for row in rows} == {8}
        assert not re.search(r"[<>`\[\]@]|://", text)


def test_markdown_says_why_what_did_not_pass() -> None:
    text = render_markdown(sample_runs.mixed())
    assert text.startswith("## ❌ BROKEN\n")
    assert "- **kill-all**: availability: 403 of 3085 requests failed" in text
    assert "pod-kill, twin single-replica" in text.split("### What did not pass")[0]
    assert "pod-kill" not in text.split("### What did not pass")[1]


def test_one_line_is_one_harmless_line() -> None:
    assert one_line("a\nb\x1b[31m\tc\u202ed\u2066e") == "a b [31m cde"
    assert one_line("x" * 400) == "x" * 299 + "…"


def test_what_a_cluster_says_keeps_its_lines_and_moves_no_cursor() -> None:
    assert harmless("a: \x1b]0;mine\x07b\n  c\u202e\r\nd") == "a:  ]0;mine b\n  c \nd"


def test_fitting_counts_terminal_columns() -> None:
    assert fit("abc", 5) == "abc  "
    assert fit("abcdef", 5) == "abcd…"
    assert fit("名前名前", 5) == "名前…"
    assert display_width(fit("🧨🧨🧨", 4)) == 4
