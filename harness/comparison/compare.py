"""Which measures of two runs are told apart, and in which direction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from harness.comparison.samples import Measure, Outcome, outcomes
from harness.comparison.two_samples import Tested, fisher, holm, ranks
from harness.observation import Interval
from harness.record import RunRecord
from harness.statistics import percentile

CONFIDENCE = 0.95
PASSES = Measure("attempts that came out as they should", "share", more_is_better=True)


class Standing(StrEnum):
    """How the second run stands to the first in one respect."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "not told apart"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of one experiment in both runs.

    ``before`` and ``after`` are the medians, each within the bounds of measurement, of ``counts`` attempts. ``p`` is
    corrected for all measures that could have been told apart; None where nothing was tested.
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
    """An experiment whose verdict is another one now. It is told first, and by itself proves no difference."""

    experiment: str
    before: str
    after: str


@dataclass(slots=True)
class Compared:
    """Two runs held against each other."""

    first: RunRecord
    second: RunRecord
    confidence: float
    changed: list[Changed] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    only_first: list[str] = field(default_factory=list)
    only_second: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def worse(self) -> list[Comparison]:
        return [each for each in self.comparisons if each.standing is Standing.WORSE]

    @property
    def better(self) -> list[Comparison]:
        return [each for each in self.comparisons if each.standing is Standing.BETTER]


def compare_runs(first: RunRecord, second: RunRecord, confidence: float = CONFIDENCE) -> Compared:
    """Hold the second run against the first. No false difference is found in any of all the measures together with
    the confidence asked for."""
    before, after = outcomes(first), outcomes(second)
    both = [key for key in before if key in after]
    tried = [each for key in both for each in _tried(before[key], after[key], confidence)]
    return Compared(
        first,
        second,
        confidence,
        changed=[
            Changed(before[key].name, before[key].verdict, after[key].verdict)
            for key in both
            if before[key].record.verdict is not after[key].record.verdict
        ],
        comparisons=_corrected(tried, confidence),
        only_first=[before[key].name for key in before if key not in after],
        only_second=[after[key].name for key in after if key not in before],
        notes=list(_notes(first, second)),
    )


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
        why = f"too few or too alike: nothing that they could have shown has a p below {tested.least:.2g}"
        return replace(seen, reason=why)
    return replace(seen, tested=tested)


def _corrected(tried: list[Comparison], confidence: float) -> list[Comparison]:
    """With p-values corrected and standings decided. What could not have been told apart whatever it had shown can
    find no false difference either, and is left out of the correction."""
    tests = [each.tested for each in tried if each.tested]
    corrected = iter(holm([test.p for test in tests]))
    return [_decided(each, next(corrected), confidence) if each.tested else each for each in tried]


def _decided(comparison: Comparison, p: float, confidence: float) -> Comparison:
    tested = comparison.tested
    if tested is None or p > 1 - confidence:
        return replace(comparison, p=p, reason=f"p {p:.2g}")
    better = (tested.effect > 0) == comparison.measure.more_is_better
    return replace(comparison, p=p, standing=Standing.BETTER if better else Standing.WORSE, reason=f"p {p:.2g}")


def _median(values: Sequence[Interval]) -> Interval:
    return Interval(percentile([each.low for each in values], 0.5), percentile([each.high for each in values], 0.5))


def shift(comparison: Comparison) -> Interval:
    """By how much the median has moved, within the bounds of measurement; infinite where one has no upper end."""
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
                yield f"the {what} differ ({one}, {other}): differences may be theirs"
    if first.harness != second.harness:
        yield f"the harness differs ({first.harness}, {second.harness})"


def _machines(nodes: Sequence[object]) -> str:
    return " and ".join(sorted({str(getattr(node, "machine", "")) for node in nodes}))
