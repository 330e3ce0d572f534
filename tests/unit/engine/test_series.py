"""Several attempts of one experiment: what each of them is, and what stands for all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.engine.repeats import Repeats
from harness.engine.runner import Runner
from harness.engine.series import Series, conclude, distributions, moved_images, seed_of
from harness.model.finding import Finding
from harness.model.verdict import Verdict
from harness.results.record import ClockRecord, ExperimentRecord, ImageRecord, RunRecord
from harness.results.reporting import overview
from harness.stats.sequential import SequentialTest
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import Stage

NODE = "experiments/one-killed.yaml::one-killed"
TEST = SequentialTest()
HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    return Stage(tmp_path)


def series(stage: Stage, at_most: int = 9, *, objective: Told | None = None) -> Series:
    told = objective or Told()
    experiment = replace(stage.experiment(), faults=(Mark(),), objectives=(told,))
    return Series(stage.run(), experiment, NODE, Repeats(at_most, TEST))


def attempt(number: int, high: float | None, low: float = 1.0, state: str = "recovered") -> ExperimentRecord:
    """A judged attempt with one recovery on the users' clock."""
    clock = ClockRecord.model_validate({"clock": "user", "subject": "web", "state": state, "low": low, "high": high})
    held = {"verdict": Verdict.HELD, "passed": True, "stage": "closed"}
    return ExperimentRecord(id=NODE, name="x", attempt=number, recovery=[clock], **held)


def test_image_that_moved_between_attempts_is_noted() -> None:
    made = [attempt(number, 2.0) for number in (1, 2, 3)]
    for record, digest in zip(made, ("sha256:a", "sha256:a", "sha256:b"), strict=True):
        record.images = [ImageRecord(image="shop:1", digest=digest), ImageRecord(image="same:1", digest="sha256:c")]
    assert moved_images(made[:2]) == []
    assert moved_images(made) == ["the image shop:1 was not the same in all attempts: sha256:a in 1, 2, sha256:b in 3"]


def merged(stage: Stage) -> RunRecord:
    return stage.store.merge(RunRecord(run="run1", started="", seed=1, harness="0"))


def test_attempts_are_stored_separately_and_combined_at_the_end(stage: Stage) -> None:
    made = series(stage).run()
    files = sorted(file.name for file in (stage.store.folder / "experiments").glob("*.json"))
    assert len(files) == 6
    (gathered,) = merged(stage).experiments
    assert gathered == made
    assert [each.attempt for each in gathered.attempts] == [1, 2, 3, 4, 5]
    assert stage.namespaces() == []


def test_interrupted_attempt_ends_the_series_and_keeps_the_rest(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, times = Mark.evidence, iter([None, None])

    def interrupted(*arguments: object) -> object:
        if next(times, "now") == "now":
            raise KeyboardInterrupt
        return evidence(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Mark, "evidence", interrupted)
    with pytest.raises(KeyboardInterrupt):
        series(stage).run()
    (gathered,) = merged(stage).experiments
    assert (gathered.stage, gathered.verdict, gathered.passed) == ("closed", Verdict.INCONCLUSIVE, False)
    assert gathered.reason.startswith("attempt")
    assert "interrupted by SIGINT" in gathered.reason
    assert gathered.interrupted
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


def test_killed_series_is_inconclusive_with_its_attempts(stage: Stage) -> None:
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


def test_single_attempt_can_be_repeated_by_its_seed(stage: Stage) -> None:
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


def test_clock_without_an_outage_is_reported() -> None:
    (found,) = distributions([attempt(1, 0.02, 0.0, "not disrupted")] * 3, 0.95)
    assert overview.distribution_text(found) == "no outage"


def test_undecided_series_is_inconclusive() -> None:
    record = ExperimentRecord(id=NODE, name="x")
    verdict, reason = conclude(record, TEST)
    assert verdict is Verdict.INCONCLUSIVE
    assert "held in 0 of 0 attempts, at least 5 are needed" in reason


def gathered(*verdicts: Verdict, twin: str = "") -> ExperimentRecord:
    """A series with attempts that came out like this."""
    wanted = Verdict.BROKEN if twin else Verdict.HELD
    told = [
        ExperimentRecord(
            id=NODE,
            name="x",
            attempt=number,
            verdict=each,
            passed=each is wanted,
            stage="closed",
            reason=f"told {each}",
        )
        for number, each in enumerate(verdicts, 1)
    ]
    return ExperimentRecord(id=NODE, name="x", twin=twin, attempts=told)


@pytest.mark.parametrize(
    ("undecided", "counted", "verdict"), [(20, 5, INCONCLUSIVE), (2, 7, INCONCLUSIVE), (2, 8, HELD), (1, 5, HELD)]
)
def test_series_with_over_a_fifth_inconclusive_is_inconclusive(undecided: int, counted: int, verdict: Verdict) -> None:
    """What keeps an attempt from a verdict may be what would have broken it."""
    found, reason = conclude(gathered(*[INCONCLUSIVE] * undecided, *[HELD] * counted), TEST)
    assert found is verdict
    assert (
        verdict is HELD
        or (
            f"held in {counted} of {counted} attempts, but {undecided} of {counted + undecided} attempts were "
            "INCONCLUSIVE (over 20%): the others may be a biased sample; attempt 1: told INCONCLUSIVE"
        )
        == reason
    )


def test_a_broken_series_and_a_twins_are_no_fairer_samples() -> None:
    assert conclude(gathered(*[INCONCLUSIVE] * 3, *[BROKEN] * 2), TEST)[0] is INCONCLUSIVE
    assert conclude(gathered(*[INCONCLUSIVE] * 3, *[BROKEN] * 5, twin="one replica"), TEST)[0] is INCONCLUSIVE


def test_one_of_fewer_than_five_attempts_may_be_inconclusive() -> None:
    """A lower confidence is content with three, and one of four is not yet a habit."""
    found, _ = conclude(gathered(INCONCLUSIVE, HELD, HELD, HELD), SequentialTest(confidence=0.8))
    assert found is HELD


@pytest.mark.parametrize(("at_most", "made", "verdict"), [(12, 10, HELD), (9, 9, INCONCLUSIVE)])
def test_attempts_continue_until_few_are_inconclusive(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, at_most: int, made: int, verdict: Verdict
) -> None:
    """Two come to nothing and then five hold: two of seven are too many, two of ten are not."""
    says = iter([INCONCLUSIVE] * 2)
    monkeypatch.setattr(Told, "judge", lambda *_: Finding(verdict=next(says, HELD), reason="told"))
    record = series(stage, at_most).run()
    assert (len(record.attempts), record.verdict, record.passed) == (made, verdict, verdict is HELD)
    assert record.series is not None
    assert record.series.clear_after == (7 if verdict is HELD else None)
