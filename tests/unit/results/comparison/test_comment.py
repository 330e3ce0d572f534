"""The comment of a pull request: only what changed, at most as long as GitHub allows, found again by its marker."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from harness.model.verdict import Verdict
from harness.results.comparison.comment import LONGEST, comment
from harness.results.comparison.compare import compare_runs
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting.store import RunStore
from tests.unit.results.comparison.test_compare import LONG, SHORT, attempt, run


def times(name: str, values: list[float]) -> RunRecord:
    return run(name, [attempt(number, value) for number, value in enumerate(values, 1)])


def single(name: str, *experiments: tuple[str, Verdict]) -> RunRecord:
    records = [
        ExperimentRecord.model_validate(
            attempt(0, 1.0).model_dump()
            | {"id": f"x::{each}", "name": each, "verdict": verdict, "passed": verdict is Verdict.HELD}
        )
        for each, verdict in experiments
    ]
    return RunRecord(run=name, started="2026-01-01T00:00:00Z", seed=1, harness="0", experiments=records)


def lines(first: RunRecord, second: RunRecord) -> list[str]:
    text = comment(compare_runs(first, second))
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    return text.splitlines()


def test_two_single_runs_are_one_line() -> None:
    many = [(f"e{number}", Verdict.HELD) for number in range(53)]
    marker, line = lines(single("one", *many), single("two", *many))
    assert marker == "<!-- resilience-harness compare default -->"
    assert line.startswith("➖ Resilience: 53 verdicts unchanged; too few attempts to compare measures")


def test_equal_runs_are_one_line() -> None:
    assert lines(times("one", SHORT), times("two", SHORT))[1:] == [
        "➖ Resilience: 1 verdict unchanged, no measure is distinguishable."
    ]


def test_nothing_in_common_is_one_line() -> None:
    found = lines(single("one", ("a", Verdict.HELD)), single("two", ("b", Verdict.HELD)))
    assert found[1:] == ["➖ Resilience: nothing to compare: no experiment is in both runs."]


def test_changed_verdicts_come_first_and_others_are_left_out() -> None:
    before = single(
        "one", ("same", Verdict.HELD), ("better", Verdict.BROKEN), ("worse", Verdict.HELD), ("gone", Verdict.HELD)
    )
    after = single(
        "two", ("same", Verdict.HELD), ("better", Verdict.HELD), ("worse", Verdict.BROKEN), ("new", Verdict.HELD)
    )
    found = lines(before, after)
    assert (
        found[1]
        == "### ❌ Resilience: 1 verdict changed for the worse, 1 other verdict changed, 1 new, 1 not run any more"
    )
    assert found[3:7] == [
        "- ❌ **worse**: HELD → BROKEN",
        "- ➖ **better**: BROKEN → HELD",
        "- new: new",
        "- not run any more: gone",
    ]
    assert "same" not in "".join(found)


def test_measures_that_differ_are_a_table() -> None:
    found = lines(times("one", SHORT), times("two", LONG))
    assert found[1] == "### ❌ Resilience: 1 measure worse"
    rows = [line for line in found if line.startswith("| ❌")]
    assert len(rows) == 1
    assert "time to recover" in rows[0]
    assert not any("not distinguishable" in line for line in found)


def test_names_are_escaped() -> None:
    found = lines(single("one", ("<b>@me", Verdict.HELD)), single("two", ("<b>@me", Verdict.BROKEN)))
    assert "<b>" not in "".join(found)
    assert "@me" not in "".join(found)


def test_long_comment_is_cut_at_a_line() -> None:
    many = [(f"experiment-{number}-{'x' * 100}", Verdict.HELD) for number in range(2000)]
    text = comment(compare_runs(single("one", *many), single("two", *((name, Verdict.BROKEN) for name, _ in many))))
    assert len(text) <= LONGEST
    assert "… and " in text.splitlines()[-1]
    assert text.startswith("<!-- resilience-harness compare default -->\n### ❌")


@pytest.mark.parametrize("key", ["a--b", "a b", "-", "x" * 101, "-->"])
def test_key_that_would_end_the_marker_is_refused(key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunStore(tmp_path).write(times("one", SHORT))
    assert main(["compare", f"--comment={key}", str(tmp_path), str(tmp_path)]) == 2
    assert "--comment: found" in capsys.readouterr().err


def test_command_prints_the_comment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunStore(tmp_path / "one").write(times("one", SHORT))
    RunStore(tmp_path / "two").write(times("two", LONG))
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two"), "--comment", "kind"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("<!-- resilience-harness compare kind -->\n### ❌ Resilience: 1 measure worse\n")
