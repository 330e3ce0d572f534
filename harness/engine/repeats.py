"""The options for repeated runs of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.common.errors import Problem
from harness.model.quantities import parse_share
from harness.stats.sequential import CONFIDENCE, SequentialTest


@dataclass(frozen=True, slots=True)
class Repeats:
    """The maximum number of attempts and the statistical test that decides the verdict.

    With ``all``, the attempts continue after the test has decided, to get the full distribution of recovery times.
    """

    at_most: int = 1
    test: SequentialTest = field(default_factory=SequentialTest)
    all: bool = False


def repeats(values: Mapping[str, str], at_most: int, make_all: bool, problems: list[Problem]) -> Repeats:
    """Return the repeats from ``--repeat`` and ``--repeat-confidence``.

    A number that can never lead to HELD is added to ``problems``: the series would run for hours and end INCONCLUSIVE.
    """
    try:
        confidence = parse_share(values["repeat-confidence"])
        test = SequentialTest(confidence=float(confidence))  # type: ignore[arg-type]
    except ValueError:
        found = f"found {values['repeat-confidence']!r}, expected more than 50% and less than 100%, for example 95%"
        problems.append(Problem(found, field="--repeat-confidence"))
        return Repeats(at_most)
    if 1 < at_most < test.least():
        why = f"at least {test.least()}: fewer attempts cannot reach the verdict HELD with {confidence:.0%} confidence"
        lower = _confidence_of(at_most)
        hint = f"; or use --repeat-confidence={lower:.0%}" if lower else ""
        problems.append(Problem(f"found {at_most}, expected 1 or {why}{hint}", field="--repeat"))
    return Repeats(at_most, test, make_all)


def _confidence_of(at_most: int) -> float | None:
    """Return the highest common confidence level that ``at_most`` attempts can reach, or None."""
    lower = (confidence for confidence in (0.9, 0.8, 0.7) if SequentialTest(confidence=confidence).least() <= at_most)
    return next((confidence for confidence in lower if confidence < CONFIDENCE), None)
