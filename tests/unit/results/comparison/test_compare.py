"""Two runs held against each other: what is claimed, what is not, and how it is told."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.model.verdict import Verdict
from harness.results.comparison import render
from harness.results.comparison.compare import Comparison, Standing, attempts_needed, compare_runs
from harness.results.record import (
    ClockRecord,
    EnvironmentRecord,
    ExperimentRecord,
    NodeRecord,
    ObjectiveRecord,
    RunRecord,
)
from harness.results.reporting.store import RunStore
from harness.results.series_record import SeriesRecord
from harness.results.traffic_record import LoadRecord

SHORT = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]
LONG = [3.0, 3.1, 3.2, 3.3, 3.4, 3.5, 3.6, 3.7]


def attempt(number: int, took: float | None, available: float = 99.0, **changes: object) -> ExperimentRecord:
    """One attempt: back after ``took`` seconds, known to 50 ms; None: it never came back in the 60 s it was watched."""
    state, low, high = ("recovered", took, took + 0.05) if took is not None else ("not recovered", 60.0, None)
    clock = {"clock": "user", "subject": "web", "state": state, "low": low, "high": high}
    objective = ObjectiveRecord(
        kind="availability",
        title="availability at least 98%",
        verdict=Verdict.HELD,
        reason="",
        observed=available,
        limit=98.0,
        unit="%",
        comparison=">=",
        samples=1000,
    )
    fields = {"verdict": Verdict.HELD, "passed": True, "stage": "closed", "objectives": [objective], **changes}
    return ExperimentRecord(
        id="x::web",
        name="web",
        file="web.yaml",
        attempt=number,
        recovery=[ClockRecord.model_validate(clock)],
        **fields,
    )


def run(name: str, attempts: list[ExperimentRecord], verdict: Verdict = Verdict.HELD, **changes: object) -> RunRecord:
    held = sum(each.passed for each in attempts)
    tally = {"at_most": 20, "as_should": held, "otherwise": len(attempts) - held}
    series = SeriesRecord(good=0.95, bad=0.5, confidence=0.95, **tally)
    whole = {"id": "x::web", "name": "web", "file": "web.yaml", "stage": "closed", "series": series}
    lead = ExperimentRecord(**whole, verdict=verdict, passed=verdict is Verdict.HELD, attempts=attempts)
    fields = {"run": name, "started": "a", "finished": "b", "seed": 1, "harness": "1", **changes}
    return RunRecord(experiments=[lead], **fields)


def series(name: str, took: list[float], **changes: object) -> RunRecord:
    return run(name, [attempt(number, each) for number, each in enumerate(took, 1)], **changes)


def single(name: str, took: float | None, **changes: object) -> RunRecord:
    made = attempt(0, took, **changes)
    return RunRecord(run=name, started="a", finished="b", seed=1, harness="1", experiments=[made])


def of(comparisons: list[Comparison], measure: str) -> Comparison:
    (found,) = [each for each in comparisons if each.measure.name == measure]
    return found


def test_longer_recoveries_are_worse_and_shorter_ones_better() -> None:
    found = compare_runs(series("a", SHORT), series("b", LONG))
    recovery = of(found.comparisons, "time to recover (user)")
    assert recovery.standing is Standing.WORSE
    assert recovery.p == pytest.approx(2 / 12870)
    assert (recovery.counts, recovery.tested and recovery.tested.effect) == ((8, 8), 1.0)
    assert found.worse == [recovery]
    back = compare_runs(series("b", LONG), series("a", SHORT))
    assert [each.measure.name for each in back.better] == ["time to recover (user)"]
    assert back.worse == []


def test_more_availability_is_better() -> None:
    low, high = ([attempt(n, 1.0, share + n / 100) for n in range(8)] for share in (98.0, 99.0))
    found = of(compare_runs(run("a", low), run("b", high)).comparisons, "availability at least 98%")
    assert found.standing is Standing.BETTER


def test_single_runs_are_never_significantly_different() -> None:
    found = compare_runs(single("a", 1.0), single("b", 50.0, verdict=Verdict.BROKEN, passed=False))
    assert {each.standing for each in found.comparisons} == {Standing.OPEN}
    assert {each.reason for each in found.comparisons} == {"one sample each"}
    # The other verdict is told all the same.
    assert [(each.before, each.after) for each in found.changed] == [("HELD", "BROKEN")]
    assert "1 attempt per run cannot show a difference in 3 measures, 5 can" in render.text(found)


def test_three_runs_each_are_never_significant() -> None:
    found = compare_runs(series("a", SHORT[:3]), series("b", LONG[:3]))
    assert found.worse == []
    assert "p cannot be below 0.1" in found.comparisons[1].reason


def test_bounds_that_overlap_are_no_difference() -> None:
    close = [each + 0.04 for each in SHORT]
    found = of(compare_runs(series("a", SHORT), series("b", close)).comparisons, "time to recover (user)")
    assert found.standing is Standing.OPEN


def test_missing_recovery_is_longer_than_any_recovery() -> None:
    never = run("b", [attempt(number, None) for number in range(1, 9)])
    found = of(compare_runs(series("a", SHORT), never).comparisons, "time to recover (user)")
    assert found.standing is Standing.WORSE
    entry = next(
        each
        for each in render.document(compare_runs(series("a", SHORT), never))["comparisons"]
        if each["measure"] == "time to recover (user)"
    )
    assert entry["after"] == {"low": 60.0, "high": None}
    assert entry["shift"]["high"] is None


def rolled_back(took: float | None) -> ObjectiveRecord:
    """An objective about a time: it happened within 50 ms of ``took``, or not in the 20 s that it was watched."""
    return ObjectiveRecord(
        kind="rolledBack",
        title="rolled back",
        verdict=Verdict.HELD if took is not None else Verdict.BROKEN,
        reason="",
        observed=20.0 if took is None else took,
        low=20.0 if took is None else took - 0.05,
        high=took,
        limit=15.0,
        unit="s",
        comparison="<=",
    )


def test_late_event_is_not_worse_than_a_missing_one() -> None:
    """The seconds that it was watched are no measurement of how long it takes: 25 s is not worse than never."""
    never = [attempt(number, 1.0, objectives=[rolled_back(None)]) for number in range(8)]
    late = [attempt(number, 1.0, objectives=[rolled_back(25.0 + number / 10)]) for number in range(8)]
    found = of(compare_runs(run("a", never), run("b", late)).comparisons, "rolled back")
    assert (found.standing, found.before.low, found.before.high) == (Standing.OPEN, 20.0, math.inf)
    soon = [attempt(number, 1.0, objectives=[rolled_back(10.0 + number / 10)]) for number in range(8)]
    assert of(compare_runs(run("a", never), run("b", soon)).comparisons, "rolled back").standing is Standing.BETTER


def test_many_measures_are_corrected_for() -> None:
    """What is told apart alone is not, among many that could have been told apart as well."""
    before = series("a", SHORT[:5])
    after = series("b", LONG[:5])
    assert of(compare_runs(before, after).comparisons, "time to recover (user)").standing is Standing.WORSE
    for one in (before, after):
        for number, each in enumerate(one.experiments[0].attempts):
            template = each.objectives[0]
            each.objectives = [
                # The same in both runs, but not all alike: each of them could have shown a difference.
                template.model_copy(update={"title": f"objective {k}", "observed": float(number)})
                for k in range(12)
            ]
    found = of(compare_runs(before, after).comparisons, "time to recover (user)")
    assert found.standing is Standing.OPEN
    assert found.p == pytest.approx(13 * 2 / 252)


def test_inconclusive_attempts_are_left_out() -> None:
    """What an unproven fault seemed to do is no measurement."""
    odd = [attempt(number, 50.0, verdict=Verdict.INCONCLUSIVE, passed=False) for number in range(9, 19)]
    before, after = series("a", SHORT), series("b", SHORT)
    after.experiments[0].attempts += odd
    found = of(compare_runs(before, after).comparisons, "time to recover (user)")
    assert found.counts == (8, 8)
    assert found.standing is Standing.OPEN


def test_fewer_attempts_that_hold_are_worse() -> None:
    held = [attempt(number, 1.0) for number in range(1, 11)]
    broke = [attempt(number, 1.0, verdict=Verdict.BROKEN, passed=number < 3) for number in range(1, 11)]
    found = compare_runs(run("a", held), run("b", broke, Verdict.BROKEN))
    passes = of(found.comparisons, "attempts with the expected outcome")
    assert passes.standing is Standing.WORSE
    assert [(each.before, each.after) for each in found.changed] == [("HELD 10/10", "BROKEN 2/10")]


def test_unmatched_experiments_and_other_machines_are_reported() -> None:
    place = EnvironmentRecord(
        context="c", server="s", provider="kind", kubernetes="v1.36.3", nodes=[NodeRecord(name="n")]
    )
    first = series("a", SHORT, environment=place)
    second = series("b", SHORT, environment=place.model_copy(update={"kubernetes": "v1.37.0"}))
    second.experiments[0].name = "other"
    found = compare_runs(first, second)
    assert (found.only_first, found.only_second, found.comparisons) == (["web"], ["other"], [])
    note = "the versions of Kubernetes differ (v1.36.3, v1.37.0), which may be the cause of differences"
    assert found.notes == [note]


def test_runs_with_loads_of_another_scale_are_noted() -> None:
    first, second = series("a", SHORT), series("b", SHORT)
    for run, scale in ((first, 1.0), (second, 0.5)):
        run.experiments[0].load = LoadRecord(profile="steady", target="service/web", scale=scale)
    note = "the factors of --load-scale differ (1, 0.5), which may be the cause of differences"
    assert compare_runs(first, second).notes == [note]
    assert compare_runs(first, first.model_copy(update={"run": "c"})).notes == []


def test_markdown_is_escaped_and_lists_the_worst_first() -> None:
    first, second = series("a", SHORT), series("b", LONG)
    for one in (first, second):
        one.experiments[0].name = "web<script>|x"
    text = render.markdown(compare_runs(first, second))
    assert text.startswith("## ❌ 1 worse, 2 not distinguishable")
    assert "<script>" not in text
    assert text.index("worse | web") < text.index("<details>")


@pytest.fixture
def stored(tmp_path: Path) -> list[str]:
    folders = []
    for record in (series("a", SHORT), series("b", LONG)):
        RunStore(tmp_path / record.run).write(record)
        folders.append(str(tmp_path / record.run))
    return folders


def test_exit_code_shows_whether_anything_is_worse(stored: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *stored]) == 1
    assert "1 worse, 2 not distinguishable: b against a" in capsys.readouterr().out
    assert main(["compare", *reversed(stored)]) == 0
    assert main(["compare", stored[0], stored[0], "--json"]) == 0
    assert "the two runs are the same" in capsys.readouterr().out
    assert main(["compare", *stored, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["worse"] is True
    assert document["comparisons"][0]["test"] == "Gehan–Wilcoxon"


@pytest.mark.parametrize("arguments", [["a", "nowhere"], ["a", "b", "--confidence=5%"], ["a", "b", "--confidence=x"]])
def test_bad_input_is_reported(stored: list[str], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(stored[0]).parent
    given = [str(folder / each) if each in {"a", "b", "nowhere"} else each for each in arguments]
    assert main(["compare", *given]) == 2
    assert "expected" in capsys.readouterr().err


def test_changed_verdicts_come_first_with_their_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three attempts a side tell no measure apart; that all of them broke is the news nevertheless."""
    broke = [attempt(number, 3.0, 84.0, verdict=Verdict.BROKEN, passed=False) for number in range(1, 4)]
    runs = [series("a", SHORT[:3]), run("b", broke, Verdict.BROKEN)]
    for each in runs:
        RunStore(tmp_path / each.run).write(each)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 3
    shown = capsys.readouterr().out
    assert shown.startswith("1 verdict changed for the worse, 3 not distinguishable")
    assert "HELD 3/3 → BROKEN 0/3" in shown
    advice = "run both with --repeat=5 --repeat-all"
    assert f"3 attempts per run cannot show a difference in 3 measures, 5 can: {advice}" in shown
    assert main(["compare", str(tmp_path / "b"), str(tmp_path / "a")]) == 0


def test_runs_with_no_experiment_in_common_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = series("b", SHORT)
    other.experiments[0].name = "other"
    for each in (series("a", SHORT), other):
        RunStore(tmp_path / each.run).write(each)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 4
    assert capsys.readouterr().out.startswith("nothing to compare: no experiment is in both runs")


@pytest.mark.parametrize(("measures", "attempts"), [(1, 4), (6, 5), (20, 6)])
def test_attempts_needed_grow_with_the_number_of_measures(measures: int, attempts: int) -> None:
    assert attempts_needed(measures, 0.95) == attempts
