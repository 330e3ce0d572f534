"""The end of pytest's output, JUnit's properties and the CI summary."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.model.finding import DISAGREEMENT
from harness.results.reporting.markdown import render_markdown
from harness.results.reporting.overview import headline
from harness.results.reporting.plain import display_width, fit, harmless, one_line
from harness.results.reporting.summary import junit_properties, terminal_lines
from tests.unit.results.reporting import sample_runs

REPORT = Path("reports/20261123-071000-3fa2/index.html")


def test_summary_shows_verdict_recovery_and_margin_of_each() -> None:
    lines = terminal_lines(sample_runs.mixed(), REPORT, width=160)
    text = [line.replace("\N{NO-BREAK SPACE}", " ") for line, _ in lines]
    assert text[0].startswith("BROKEN: 5 experiments: 1 broke")
    assert re.match(r"kill-all +BROKEN +8.1 s \(user\) +availability: 86.9% \(at least 99.9%\), −13 points$", text[2])
    assert text[3].strip().startswith("availability: 403 of 3085 requests failed")
    assert re.search(r"^  twin single-replica +BROKEN, as expected +6.2 s", "\n".join(text), re.MULTILINE)
    assert text[-1] == f"report: {REPORT}"
    styles = {line.split()[0]: style for line, style in lines}
    assert (styles["kill-all"], styles["pod-kill"], styles["leader-kill"], styles["twin"]) == (
        "red",
        "green",
        "yellow",
        "green",
    )


def test_a_contradiction_of_load_and_prober_is_under_its_row() -> None:
    record = sample_runs.experiment()
    (first, *rest) = record.objectives
    told = first.model_copy(update={"detail": {DISAGREEMENT: "the prober saw an outage (back 2 s) and the load none"}})
    held = record.model_copy(update={"objectives": [told, *rest]})
    lines = [line for line, _ in terminal_lines(sample_runs.run(held), width=160)]
    assert lines[3] == (
        f"    {first.title}: load and prober disagree: the prober saw an outage (back 2 s) and the load none"
    )
    assert len(lines) == len(terminal_lines(sample_runs.run(record), width=160)) + 1


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
def test_no_line_exceeds_the_width_or_moves_the_cursor(name: str) -> None:
    for line, _ in terminal_lines(getattr(sample_runs, name)(), width=80):
        assert display_width(line) <= 80 or line.startswith("BROKEN: ")
        assert line.isprintable() or "\N{NO-BREAK SPACE}" in line
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)


def test_empty_run_is_reported() -> None:
    assert terminal_lines(sample_runs.run()) == [("INCONCLUSIVE: No experiment was run.", "yellow")]


def test_skipped_are_counted_and_their_reasons_not_cut() -> None:
    made = sample_runs.skipping(sample_runs.experiment())
    text = [line for line, _ in terminal_lines(made, REPORT, width=80)]
    assert text[0] == "HELD: 1 experiment held, 1 skipped. 1 twin skipped."
    whole = " ".join(line.strip() for line in text)
    for skip in made.skipped:
        assert f"skipped: {skip.name}: {skip.reason.strip()}" in whole
    assert all(display_width(line) <= 80 for line in text)


def test_skipped_of_a_mixed_run_are_in_the_sum() -> None:
    made = sample_runs.skipping(sample_runs.experiment(), sample_runs.broken())
    assert headline(made) == "3 experiments: 1 broke, 1 held, 1 skipped. 1 twin skipped."
    assert headline(sample_runs.skipping(sample_runs.twin())) == (
        "1 experiment skipped. 1 twin broke as expected. 1 twin skipped."
    )
    assert headline(sample_runs.skipping()) == "No experiment was run, 2 skipped."


def test_markdown_has_the_reason_of_each_skip_in_full() -> None:
    text = render_markdown(sample_runs.skipping(sample_runs.experiment()))
    assert "1 experiment held, 1 skipped." in text
    assert "### Skipped\n\n- **wide**: affects" in text
    assert text.count("add an opt-in") == 40
    assert "the guard allows &#60;2&#62; pods\n" in text
    assert "### Skipped" not in render_markdown(sample_runs.mixed())


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


def test_junit_describes_the_purpose_of_a_twin() -> None:
    properties = dict(junit_properties(sample_runs.twin()))
    assert (properties["twin"], properties["twin.outcome"]) == ("single-replica", "broke availability, as expected")
    assert "report" not in properties


def test_markdown_is_a_table_that_names_cannot_leave() -> None:
    """Every row has as many cells as the heading, and no markup, mention or address of a stranger's comes alive."""
    for made in (sample_runs.mixed(), sample_runs.hostile()):
        text = render_markdown(made)
        rows = [line for line in text.splitlines() if line.startswith("|")]
        experiments = 2 + len(made.experiments)
        mutants = 2 + 2 if made.mutation else 0
        assert [row.count("|") for row in rows] == [8] * experiments + [4] * mutants
        assert not re.search(r"[<>`\[\]@]|://", text)


def test_markdown_gives_the_reason_for_each_failure() -> None:
    text = render_markdown(sample_runs.mixed())
    assert text.startswith("## ❌ BROKEN\n")
    assert "- **kill-all**: availability: 403 of 3085 requests failed" in text
    assert "pod-kill, twin single-replica" in text.split("### What did not pass")[0]
    assert "pod-kill" not in text.split("### What did not pass")[1]


def test_one_line_is_one_harmless_line() -> None:
    assert one_line("a\nb\x1b[31m\tc\u202ed\u2066e") == "a b [31m cde"
    assert one_line("x" * 400) == "x" * 299 + "…"


def test_cluster_messages_keep_lines_and_move_no_cursor() -> None:
    assert harmless("a: \x1b]0;mine\x07b\n  c\u202e\r\nd") == "a:  ]0;mine b\n  c \nd"


def test_fitting_counts_terminal_columns() -> None:
    assert fit("abc", 5) == "abc  "
    assert fit("abcdef", 5) == "abcd…"
    assert fit("名前名前", 5) == "名前…"
    assert display_width(fit("🧨🧨🧨", 4)) == 4


def test_a_narrow_terminal_cuts_no_objective() -> None:
    lines = [line for line, _ in terminal_lines(sample_runs.mixed(), width=80)]
    assert not [line for line in lines if line.endswith("…")]
