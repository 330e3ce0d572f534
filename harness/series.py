"""Several attempts of one experiment, one after another, until it is clear how it comes out.

Each attempt is a run of its own with a record of its own. The series has a record too, which stands for all of them:
its verdict is the sequential test's (see ``harness.sequential``), its times to recover are a distribution.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import replace

from harness.clock import iso
from harness.distribution import quantile
from harness.experiment import Experiment
from harness.observation import Interval
from harness.record import ClockRecord, ExperimentRecord, ObjectiveRecord
from harness.recording import declared
from harness.repeats import Repeats
from harness.reporting import overview
from harness.run import Run
from harness.runner import Runner
from harness.sequential import SequentialTest
from harness.series_record import DistributionRecord, QuantileRecord, SeriesRecord
from harness.verdict import Verdict, worst

# Beyond this the attempts that count may be no fair sample: what keeps one from a verdict may be what breaks it.
MOST_UNDECIDED = 0.2
LEAST_ATTEMPTS = 5

QUANTILES = (("p50", 0.50), ("p90", 0.90), ("p95", 0.95), ("max", 1.0))


class Series:
    """Runs the attempts; like a ``Runner``, it has a record from the beginning."""

    def __init__(self, run: Run, experiment: Experiment, node_id: str, plan: Repeats) -> None:
        self._run, self._experiment, self._node_id, self._plan = run, experiment, node_id, plan
        self.record = declared(experiment, node_id, run)
        # Each attempt has a namespace of its own.
        self.record.namespace = ""
        self._describe()
        run.store.save(self.record)

    def run(self) -> ExperimentRecord:
        """Run it. Returns the judged record. What ends an attempt by force ends the series, and goes on."""
        try:
            for number in range(1, self._plan.at_most + 1):
                self._attempt(number)
                if self._run.halted() or (self._clear and not self._plan.all):
                    break
        except BaseException:
            last = self.record.attempts[-1] if self.record.attempts else None
            self._judged(Verdict.INCONCLUSIVE, f"attempt {last.attempt} ended it: {last.reason}" if last else "")
            raise
        self._judged(*conclude(self.record, self._plan.test))
        self._run.progress(f"{self._experiment.title}: {self.record.verdict}: {self.record.reason}")
        return self.record

    def _attempt(self, number: int) -> None:
        run = replace(self._run, seed=seed_of(self._run.seed, number))
        runner = Runner(run, replace(self._experiment, attempt=number), self._node_id)
        self.record.attempts.append(runner.record)
        try:
            runner.run()
        finally:
            self._describe()
            self._run.store.save(self.record)

    @property
    def _settled(self) -> bool | None:
        return self._plan.test.decide(map(_as_should, decided(self.record.attempts)))

    @property
    def _clear(self) -> bool:
        # Further attempts can outweigh those that came to nothing.
        return self._settled is not None and not too_many_undecided(self.record.attempts)

    def _describe(self) -> None:
        self.record.series = describe(self.record.attempts, self._plan)
        self.record.objectives = worst_findings(decided(self.record.attempts) or self.record.attempts)

    def _judged(self, verdict: Verdict, reason: str) -> None:
        record = self.record
        record.verdict, record.reason = verdict, reason
        record.passed = verdict is (Verdict.BROKEN if record.twin else Verdict.HELD) and self._settled is True
        record.finished = iso(self._run.clock.wall())
        record.stage = "closed"
        self._run.store.save(record)


def seed_of(seed: int, number: int) -> int:
    """The seed of an attempt: the first has the run's own, so that one attempt is what no repeats would have been; any
    other can be repeated alone by its own seed."""
    return seed if number == 1 else int(hashlib.sha256(f"{seed}:{number}".encode()).hexdigest()[:8], 16)


def decided(attempts: Iterable[ExperimentRecord]) -> list[ExperimentRecord]:
    """The attempts that count: those that came to a verdict other than INCONCLUSIVE."""
    return [each for each in attempts if each.stage == "closed" and each.verdict is not Verdict.INCONCLUSIVE]


def too_many_undecided(attempts: list[ExperimentRecord]) -> bool:
    """Whether so many of the attempts came to nothing that the others say nothing for all of them."""
    undecided = len(attempts) - len(decided(attempts))
    return len(attempts) >= LEAST_ATTEMPTS and undecided > MOST_UNDECIDED * len(attempts)


def describe(attempts: list[ExperimentRecord], plan: Repeats) -> SeriesRecord:
    """The attempts so far."""
    counted = decided(attempts)
    as_should = sum(map(_as_should, counted))
    _, number = plan.test.settled(map(_as_should, counted))
    return SeriesRecord(
        at_most=plan.at_most,
        as_should=as_should,
        otherwise=len(counted) - as_should,
        undecided=len(attempts) - len(counted),
        good=plan.test.good,
        bad=plan.test.bad,
        confidence=plan.test.confidence,
        clear_after=counted[number - 1].attempt if number and not too_many_undecided(attempts) else None,
        recovery=distributions(counted, plan.test.confidence),
    )


def conclude(record: ExperimentRecord, test: SequentialTest) -> tuple[Verdict, str]:
    """The verdict of a series with its reason; that of a twin is BROKEN when it breaks as it must."""
    counted = decided(record.attempts)
    as_should = [each for each in counted if _as_should(each)]
    others = [each for each in counted if not _as_should(each)]
    came_out = "broke as it must" if record.twin else "held"
    tally = f"{came_out} in {len(as_should)} of {len(counted)} attempts"
    sure = f"with {test.confidence * 100:g}% confidence"
    undecided = [each for each in record.attempts if each not in counted]
    settled = test.decide(map(_as_should, counted))
    if settled is not None and too_many_undecided(record.attempts):
        share = f"{len(undecided)} of all {len(record.attempts)} came to nothing, more than a fifth"
        why = f"so those that count may be no fair sample; attempt {undecided[0].attempt}: {undecided[0].reason}"
        return Verdict.INCONCLUSIVE, f"{tally}, but {share}, {why}"
    if settled:
        verdict = Verdict.BROKEN if record.twin else Verdict.HELD
        return verdict, f"{tally}: at least {test.good * 100:g}% do rather than at most {test.bad * 100:g}%, {sure}"
    if settled is False:
        reason = f"{tally}: at most {test.bad * 100:g}% do rather than at least {test.good * 100:g}%, {sure}"
        verdict = worst(each.verdict for each in others)
        return verdict, f"{reason}; attempt {others[0].attempt}: {others[0].reason}"
    reason = f"not enough repeats: {tally}, it takes {test.least(len(others))} with {len(others)} that did not"
    if undecided:
        reason += f"; {len(undecided)} came to nothing, attempt {undecided[0].attempt}: {undecided[0].reason}"
    elif others:
        reason += f"; attempt {others[0].attempt}: {others[0].reason}"
    return Verdict.INCONCLUSIVE, reason


def distributions(attempts: Iterable[ExperimentRecord], confidence: float) -> list[DistributionRecord]:
    """The times to recover on each clock that has any."""
    by_clock: dict[str, list[ClockRecord]] = {name: [] for name in overview.CLOCKS}
    for attempt in attempts:
        for name, clock in overview.recoveries(attempt).items():
            if clock.low is not None:
                by_clock[name].append(clock)
    return [_distribution(clocks, confidence) for clocks in by_clock.values() if clocks]


def worst_findings(attempts: Iterable[ExperimentRecord]) -> list[ObjectiveRecord]:
    """Every objective as it was in the attempt in which it was nearest to its limit, or furthest beyond."""
    found: dict[tuple[str, str], list[ObjectiveRecord]] = {}
    for attempt in attempts:
        for objective in attempt.objectives:
            named = objective.model_copy(update={"reason": f"attempt {attempt.attempt}: {objective.reason}"})
            found.setdefault((objective.kind, objective.title), []).append(named)
    tightest = (overview.tightest(objectives) for objectives in found.values())
    return [objective for objective in tightest if objective]


def _distribution(clocks: list[ClockRecord], confidence: float) -> DistributionRecord:
    lengths = [Interval(clock.low or 0.0, math.inf if clock.high is None else clock.high) for clock in clocks]
    states = [clock.state for clock in clocks]
    return DistributionRecord(
        clock=clocks[0].clock,
        attempts=len(clocks),
        recovered=states.count("recovered"),
        undisrupted=states.count("not disrupted"),
        quantiles=[_quantile(name, lengths, share, confidence) for name, share in QUANTILES],
    )


def _quantile(name: str, lengths: list[Interval], share: float, confidence: float) -> QuantileRecord:
    found = quantile(lengths, share, confidence)
    return QuantileRecord.model_validate(
        {
            "name": name,
            "low": found.bounds.low,
            "high": found.bounds.high,
            "at_least": found.at_least,
            "at_most": found.at_most,
        }
    )


def _as_should(attempt: ExperimentRecord) -> bool:
    return attempt.passed
