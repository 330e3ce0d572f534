"""Statistical comparison of two runs: the measures that differ, and the direction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from harness.model.timeline import Interval
from harness.results.comparison.samples import Measure, Outcome, outcomes
from harness.results.comparison.two_samples import Tested, fisher, holm, ranks
from harness.results.record import RunRecord
from harness.stats.bounds import percentile

CONFIDENCE = 0.95
PASSES = Measure("attempts with the expected outcome", "share", more_is_better=True)


class Standing(StrEnum):
    """The result for one measure: the second run relative to the first."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "not distinguishable"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of one experiment in both runs.

    ``before`` and ``after`` are the medians of ``counts`` attempts, each with measurement bounds. ``p`` is corrected
    for the number of measures that could have shown a difference; None if the measure was not tested.
    """

    experiment: str
    measure: Measure
    before: Interval
    after: Interval
    counts: tuple[int, int]
    standing: Standing = Standing.OPEN
    reason: str = ""
    tested: Tested | None = None
    p: float | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """An experiment with a different verdict in the second run. ``worse``: it passed before and does not pass now."""

    experiment: str
    before: str
    after: str
    worse: bool = False


@dataclass(slots=True)
class Compared:
    """The comparison of two runs."""

    first: RunRecord
    second: RunRecord
    confidence: float
    changed: list[Changed] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    only_first: list[str] = field(default_factory=list)
    only_second: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    in_both: int = 0

    @property
    def worse(self) -> list[Comparison]:
        return [each for each in self.comparisons if each.standing is Standing.WORSE]

    @property
    def regressed(self) -> list[Changed]:
        """The experiments that passed only in the first run."""
        return [each for each in self.changed if each.worse]

    @property
    def nothing_in_common(self) -> bool:
        """Whether no experiment is in both runs."""
        return self.in_both == 0

    @property
    def better(self) -> list[Comparison]:
        return [each for each in self.comparisons if each.standing is Standing.BETTER]


def compare_runs(first: RunRecord, second: RunRecord, confidence: float = CONFIDENCE) -> Compared:
    """Compare the second run with the first.

    ``confidence`` is the probability that no false difference is reported for any of the measures.
    """
    before, after = outcomes(first), outcomes(second)
    both = [key for key in before if key in after]
    tried = [each for key in both for each in _tried(before[key], after[key], confidence)]
    return Compared(
        first,
        second,
        confidence,
        changed=[
            Changed(
                before[key].name,
                before[key].verdict,
                after[key].verdict,
                worse=before[key].record.passed and not after[key].record.passed,
            )
            for key in both
            if before[key].record.verdict is not after[key].record.verdict
        ],
        comparisons=_corrected(tried, confidence),
        only_first=[before[key].name for key in before if key not in after],
        only_second=[after[key].name for key in after if key not in before],
        notes=list(_notes(first, second)),
        in_both=len(both),
    )


def attempts_needed(measures: int, confidence: float) -> int:
    """Return the fewest attempts per run that can show a difference in one of ``measures``, after the correction.

    With n values per run, the smallest two-sided p of a permutation test is 2 of the C(2n, n) permutations; the
    correction multiplies it by the number of measures.
    """
    # One value per run is never enough: both of the C(2, 1) = 2 permutations are as extreme as the observed one, so p
    # is 1.
    attempts = 2
    while 2 * max(1, measures) / math.comb(2 * attempts, attempts) > 1 - confidence:
        attempts += 1
    return attempts


def _tried(before: Outcome, after: Outcome, confidence: float) -> Iterator[Comparison]:
    if before.attempts and after.attempts:
        shares = [Interval(each.as_should / each.attempts, each.as_should / each.attempts) for each in (before, after)]
        tested = fisher(before.as_should, before.attempts, after.as_should, after.attempts)
        counts = (before.attempts, after.attempts)
        yield _comparison(Comparison(before.name, PASSES, shares[0], shares[1], counts), tested, confidence)
    for measure, values in before.values.items():
        others = after.values.get(measure)
        if others:
            counts = (len(values), len(others))
            seen = Comparison(before.name, measure, _median(values), _median(others), counts)
            yield _comparison(seen, ranks(values, others), confidence)


def _comparison(seen: Comparison, tested: Tested, confidence: float) -> Comparison:
    if min(seen.counts) < 2:
        return replace(seen, reason="one sample" + (" each" if seen.counts == (1, 1) else ""))
    if tested.least > 1 - confidence:
        why = f"too few or too similar values: p cannot be below {tested.least:.2g}"
        return replace(seen, reason=why)
    return replace(seen, tested=tested)


def _corrected(tried: list[Comparison], confidence: float) -> list[Comparison]:
    """Correct the p-values and decide on each measure.

    A measure that could not have shown a difference cannot show a false one either, so it is not part of the
    correction.
    """
    tests = [each.tested for each in tried if each.tested]
    corrected = iter(holm([test.p for test in tests]))
    return [_decided(each, next(corrected), confidence) if each.tested else each for each in tried]


def _decided(comparison: Comparison, p: float, confidence: float) -> Comparison:
    tested = comparison.tested
    if tested is None or p > 1 - confidence:
        return replace(comparison, p=p, reason=f"p {p:.2g}")
    better = (tested.effect > 0) == comparison.measure.more_is_better
    return replace(comparison, p=p, standing=Standing.BETTER if better else Standing.WORSE, reason=f"p {p:.2g}")


# The nearest-rank median is one of the values, so an infinite bound (an outage that was not over) causes no arithmetic.
def _median(values: Sequence[Interval]) -> Interval:
    return Interval(percentile([each.low for each in values], 0.5), percentile([each.high for each in values], 0.5))


def shift(comparison: Comparison) -> Interval:
    """Return the bounds of the change of the median; infinite if a median has no upper bound."""
    before, after = comparison.before, comparison.after
    low = after.low - before.high if math.isfinite(before.high) else -math.inf
    return Interval(low, after.high - before.low)


def _notes(first: RunRecord, second: RunRecord) -> Iterator[str]:
    before, after = first.environment, second.environment
    if first.run == second.run:
        yield "the two runs are the same"
    if before and after:
        for what, one, other in (
            ("clusters", before.provider, after.provider),
            ("versions of Kubernetes", before.kubernetes, after.kubernetes),
            ("numbers of nodes", str(len(before.nodes)), str(len(after.nodes))),
            ("machines", _machines(before.nodes), _machines(after.nodes)),
        ):
            if one != other:
                yield f"the {what} differ ({one}, {other}), which may be the cause of differences"
    if (one := _scales(first)) != (other := _scales(second)):
        yield f"the factors of --load-scale differ ({one}, {other}), which may be the cause of differences"
    if first.harness != second.harness:
        yield f"the harness differs ({first.harness}, {second.harness})"


def _scales(run: RunRecord) -> str:
    scales = {load.scale for each in run.experiments for load in (each.load, *each.loads) if load}
    return " and ".join(f"{scale:g}" for scale in sorted(scales))


def _machines(nodes: Sequence[object]) -> str:
    return " and ".join(sorted({str(getattr(node, "machine", "")) for node in nodes}))
