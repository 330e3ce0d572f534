"""Several attempts of one experiment: what each of them is, and what stands for all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.record import ClockRecord, ExperimentRecord, RunRecord
from harness.repeats import Repeats
from harness.reporting import overview
from harness.runner import Runner
from harness.sequential import SequentialTest
from harness.series import Series, conclude, distributions, seed_of
from harness.verdict import Verdict
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import Stage

NODE = "experiments/one-killed.yaml::one-killed"
TEST = SequentialTest()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.registry.{kind}", found)
    return Stage(tmp_path)


def series(stage: Stage, at_most: int = 9, *, objective: Told | None = None) -> Series:
    told = objective or Told()
    experiment = replace(stage.experiment(), faults=(Mark(),), objectives=(told,))
    return Series(stage.run(), experiment, NODE, Repeats(at_most, TEST))


def attempt(number: int, high: float | None, low: float = 1.0, state: str = "recovered") -> ExperimentRecord:
    """A judged attempt with one recovery on the users' clock."""
    clock = ClockRecord.model_validate({"clock": "user", "subject": "web", "state": state, "low": low, "high": high})
    held = {"verdict": Verdict.HELD, "passed": True, "stage": "judged"}
    return ExperimentRecord(id=NODE, name="x", attempt=number, recovery=[clock], **held)


def merged(stage: Stage) -> RunRecord:
    return stage.store.merge(RunRecord(run="run1", started="", seed=1, harness="0"))


def test_every_attempt_is_stored_by_itself_and_gathered_in_the_end(stage: Stage) -> None:
    made = series(stage).run()
    files = sorted(file.name for file in (stage.store.folder / "experiments").glob("*.json"))
    assert len(files) == 6
    (gathered,) = merged(stage).experiments
    assert gathered == made
    assert [each.attempt for each in gathered.attempts] == [1, 2, 3, 4, 5]
    assert stage.namespaces() == []


def test_what_interrupts_an_attempt_ends_the_series_and_keeps_what_was_made(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence, times = Mark.evidence, iter([None, None])

    def interrupted(*arguments: object) -> object:
        if next(times, "now") == "now":
            raise KeyboardInterrupt
        return evidence(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Mark, "evidence", interrupted)
    with pytest.raises(KeyboardInterrupt):
        series(stage).run()
    (gathered,) = merged(stage).experiments
    assert (gathered.stage, gathered.verdict, gathered.passed) == ("judged", Verdict.INCONCLUSIVE, False)
    assert gathered.reason.startswith("attempt")
    assert "interrupted by SIGINT" in gathered.reason
    assert gathered.attempts[0].verdict is Verdict.HELD
    assert gathered.attempts[-1].verdict is Verdict.INCONCLUSIVE
    assert stage.namespaces() == []


def test_an_order_to_halt_ends_the_series_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is to end: no further attempt begins, as each of them would only be told the same."""
    ordered: list[str] = []
    run = replace(stage.run(), halted=lambda: ordered[0] if ordered else None)
    evidence = Mark.evidence

    def ordering(*arguments: object) -> object:
        ordered.append("halted by somebody")
        return evidence(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Mark, "evidence", ordering)
    experiment = replace(stage.experiment(), faults=(Mark(),), objectives=(Told(),))
    record = Series(run, experiment, NODE, Repeats(9, TEST)).run()
    assert (record.verdict, len(record.attempts)) == (Verdict.INCONCLUSIVE, 1)
    assert "attempt 1: halted by somebody" in record.reason
    assert stage.namespaces() == []


def test_a_series_that_was_cut_dead_is_inconclusive_with_its_attempts(stage: Stage) -> None:
    """As after a kill -9: the series' own record is at an earlier stage than its attempts'."""
    cut = series(stage)
    cut._attempt(1)
    cut._attempt(2)
    run = merged(stage)
    assert overview.run_verdict(run) is Verdict.INCONCLUSIVE
    (gathered,) = run.experiments
    assert (gathered.stage, len(gathered.attempts)) == ("declared", 2)


def test_attempts_without_their_series_are_experiments(stage: Stage) -> None:
    experiment = replace(stage.experiment(), faults=(Mark(),), objectives=(Told(),), attempt=3)
    Runner(stage.run(), experiment, NODE).run()
    assert [record.attempt for record in merged(stage).experiments] == [3]


def test_an_attempt_can_be_repeated_alone_by_its_own_seed(stage: Stage) -> None:
    """Victims follow from the seed: that of attempt 4 is the seed of a run in which nothing is repeated."""
    run = stage.run()
    fourth = replace(run, seed=seed_of(run.seed, 4)).random("one-killed").random()
    assert replace(run, seed=seed_of(run.seed, 4)).random("one-killed").random() == fourth
    assert seed_of(run.seed, 1) == run.seed
    assert len({seed_of(run.seed, number) for number in range(1, 50)}) == 49


def test_victims_differ_between_attempts_and_not_between_series(tmp_path: Path) -> None:
    def victims(folder: str) -> list[str]:
        stage = Stage(tmp_path / folder)
        record = Series(stage.run(), stage.experiment(), NODE, Repeats(5, TEST)).run()
        return [each.faults[0].victims[0].name for each in record.attempts]

    assert victims("one") == victims("two")
    assert len(set(victims("three"))) > 1


def test_the_distribution_keeps_what_is_unknown_unknown() -> None:
    """One attempt that never recovered: the longest time has no upper end, and neither does its quantile."""
    attempts = [attempt(1, 1.2), attempt(2, 2.4, 2.0), attempt(3, None, 60.0, "not recovered")]
    (found,) = distributions(attempts, 0.95)
    quantiles = {each.name: (each.low, each.high) for each in found.quantiles}
    assert quantiles == {"p50": (2.0, 2.4), "p90": (60.0, None), "p95": (60.0, None), "max": (60.0, None)}
    assert (found.attempts, found.recovered, found.undisrupted) == (3, 2, 0)
    assert overview.distribution_text(found).replace("\N{NO-BREAK SPACE}", " ") == "p50 2–2.4 s, max over 60 s"


def test_a_clock_that_never_saw_an_outage_says_so() -> None:
    (found,) = distributions([attempt(1, 0.02, 0.0, "not disrupted")] * 3, 0.95)
    assert overview.distribution_text(found) == "no outage"


def test_nothing_decided_is_no_verdict() -> None:
    record = ExperimentRecord(id=NODE, name="x")
    verdict, reason = conclude(record, TEST)
    assert verdict is Verdict.INCONCLUSIVE
    assert "held in 0 of 0 attempts, it takes 5" in reason
