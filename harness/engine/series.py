"""Repeated attempts of one experiment, until a sequential test decides the verdict.

Each attempt is a complete execution with a separate record. The record of the series summarises them: its verdict is
that of the sequential test (see ``harness.stats.sequential``), and its recovery times are distributions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import replace

from harness.common.clock import iso
from harness.engine.recording import declared
from harness.engine.repeats import Repeats
from harness.engine.runner import Runner
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.model.timeline import Interval
from harness.model.verdict import Verdict, worst
from harness.results.record import ClockRecord, ExperimentRecord, ObjectiveRecord
from harness.results.reporting import overview
from harness.results.series_record import DistributionRecord, QuantileRecord, SeriesRecord
from harness.stats.distribution import quantile
from harness.stats.sequential import SequentialTest

# With a larger share of INCONCLUSIVE attempts the others may be a biased sample: the fault itself may be what keeps an
# attempt from a verdict.
MOST_UNDECIDED = 0.2
LEAST_ATTEMPTS = 5

QUANTILES = (("p50", 0.50), ("p90", 0.90), ("p95", 0.95), ("max", 1.0))


class Series:
    """Runs the attempts of an experiment. Like a ``Runner``, it has a record from the start."""

    def __init__(self, run: Run, experiment: Experiment, node_id: str, plan: Repeats) -> None:
        self._run, self._experiment, self._node_id, self._plan = run, experiment, node_id, plan
        self.record = declared(experiment, node_id, run)
        # Each attempt has its namespace; the series has none.
        self.record.namespace = ""
        self._describe()
        run.store.save(self.record)

    def run(self) -> ExperimentRecord:
        """Run all attempts, return the judged record. An error that ends an attempt ends the series and is raised."""
        try:
            for number in range(1, self._plan.at_most + 1):
                self._attempt(number)
                if self._run.halted() or (self._decided and not self._plan.all):
                    break
        except BaseException as error:
            self.record.interrupted = isinstance(error, KeyboardInterrupt)
            last = self.record.attempts[-1] if self.record.attempts else None
            self._judged(
                Verdict.INCONCLUSIVE, f"attempt {last.attempt} ended the series: {last.reason}" if last else ""
            )
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
        return self._plan.test.decide(map(_as_expected, decided(self.record.attempts)))

    @property
    def _decided(self) -> bool:
        # Not while too many attempts are INCONCLUSIVE: further attempts can lower their share.
        return self._settled is not None and not too_many_undecided(self.record.attempts)

    def _describe(self) -> None:
        self.record.series = describe(self.record.attempts, self._plan)
        self.record.objectives = worst_findings(decided(self.record.attempts) or self.record.attempts)
        self.record.notes = moved_images(self.record.attempts)

    def _judged(self, verdict: Verdict, reason: str) -> None:
        record = self.record
        record.verdict, record.reason = verdict, reason
        record.passed = verdict is (Verdict.BROKEN if record.twin else Verdict.HELD) and self._settled is True
        record.finished = iso(self._run.clock.wall())
        record.stage = "closed"
        self._run.store.save(record)


def moved_images(attempts: Iterable[ExperimentRecord]) -> list[str]:
    """Return a note for each image that had different digests in the attempts: they did not test the same thing."""
    found: dict[str, dict[str, list[int]]] = {}
    for attempt in attempts:
        for image in attempt.images:
            found.setdefault(image.image, {}).setdefault(image.digest, []).append(attempt.attempt)
    return [
        f"the image {image} was not the same in all attempts: "
        + ", ".join(f"{digest} in {', '.join(map(str, numbers))}" for digest, numbers in digests.items())
        for image, digests in found.items()
        if len(digests) > 1
    ]


def seed_of(seed: int, number: int) -> int:
    """Return the seed of an attempt. Any attempt can be repeated alone with its seed.

    The first attempt uses the seed of the run, so that it is identical to a run without repeats."""
    return seed if number == 1 else int(hashlib.sha256(f"{seed}:{number}".encode()).hexdigest()[:8], 16)


def decided(attempts: Iterable[ExperimentRecord]) -> list[ExperimentRecord]:
    """Return the attempts that are closed with a verdict other than INCONCLUSIVE."""
    return [each for each in attempts if each.stage == "closed" and each.verdict is not Verdict.INCONCLUSIVE]


def too_many_undecided(attempts: list[ExperimentRecord]) -> bool:
    """Return whether too many attempts are INCONCLUSIVE for the others to be a fair sample."""
    undecided = len(attempts) - len(decided(attempts))
    return len(attempts) >= LEAST_ATTEMPTS and undecided > MOST_UNDECIDED * len(attempts)


def describe(attempts: list[ExperimentRecord], plan: Repeats) -> SeriesRecord:
    """Summarise the attempts so far."""
    counted = decided(attempts)
    as_should = sum(map(_as_expected, counted))
    _, number = plan.test.settled(map(_as_expected, counted))
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
    """Return the verdict of a series and its reason. The expected verdict of a twin is BROKEN."""
    counted = decided(record.attempts)
    as_should = [each for each in counted if _as_expected(each)]
    others = [each for each in counted if not _as_expected(each)]
    expected = "broke as expected" if record.twin else "held"
    tally = f"{expected} in {len(as_should)} of {len(counted)} attempts"
    sure = f"with {test.confidence * 100:g}% confidence"
    undecided = [each for each in record.attempts if each not in counted]
    settled = test.decide(map(_as_expected, counted))
    if settled is not None and too_many_undecided(record.attempts):
        share = f"{len(undecided)} of {len(record.attempts)} attempts were INCONCLUSIVE (over {MOST_UNDECIDED:.0%})"
        why = f"the others may be a biased sample; attempt {undecided[0].attempt}: {undecided[0].reason}"
        return Verdict.INCONCLUSIVE, f"{tally}, but {share}: {why}"
    if settled:
        verdict = Verdict.BROKEN if record.twin else Verdict.HELD
        return verdict, f"{tally}: the rate is at least {test.good * 100:g}%, not at most {test.bad * 100:g}%, {sure}"
    if settled is False:
        reason = f"{tally}: the rate is at most {test.bad * 100:g}%, not at least {test.good * 100:g}%, {sure}"
        verdict = worst(each.verdict for each in others)
        return verdict, f"{reason}; attempt {others[0].attempt}: {others[0].reason}"
    reason = f"not enough repeats: {tally}, at least {test.least(len(others))} are needed"
    if others:
        reason += f" with {len(others)} that did not"
    if undecided:
        reason += f"; {len(undecided)} INCONCLUSIVE, attempt {undecided[0].attempt}: {undecided[0].reason}"
    elif others:
        reason += f"; attempt {others[0].attempt}: {others[0].reason}"
    return Verdict.INCONCLUSIVE, reason


def distributions(attempts: Iterable[ExperimentRecord], confidence: float) -> list[DistributionRecord]:
    """Return the distribution of the recovery times for each clock that measured any."""
    by_clock: dict[str, list[ClockRecord]] = {name: [] for name in overview.CLOCKS}
    for attempt in attempts:
        for name, clock in overview.recoveries(attempt).items():
            if clock.low is not None:
                by_clock[name].append(clock)
    return [_distribution(clocks, confidence) for clocks in by_clock.values() if clocks]


def worst_findings(attempts: Iterable[ExperimentRecord]) -> list[ObjectiveRecord]:
    """Return each objective as evaluated in its worst attempt: nearest to its limit, or furthest beyond it."""
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


def _as_expected(attempt: ExperimentRecord) -> bool:
    return attempt.passed
