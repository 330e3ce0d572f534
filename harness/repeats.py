"""How often an experiment is to be run, as the user chose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import Problem
from harness.quantities import parse_share
from harness.sequential import CONFIDENCE, SequentialTest


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many attempts at most, by which test they are judged, and whether all are made although it has decided: for
    the sake of the distribution."""

    at_most: int = 1
    test: SequentialTest = field(default_factory=SequentialTest)
    all: bool = False


def repeats(values: Mapping[str, str], at_most: int, make_all: bool, problems: list[Problem]) -> Repeats:
    """From ``--repeat`` and ``--repeat-confidence``. What can never come to HELD is refused before it takes hours."""
    try:
        confidence = parse_share(values["repeat-confidence"])
        test = SequentialTest(confidence=float(confidence))  # type: ignore[arg-type]
    except ValueError:
        found = f"found {values['repeat-confidence']!r}, expected more than 50% and less than 100%, such as 95%"
        problems.append(Problem(found, field="--repeat-confidence"))
        return Repeats(at_most)
    if 1 < at_most < test.least():
        why = f"{test.least()} attempts or more: fewer can never show with {confidence:.0%} confidence that it holds"
        lower = _confidence_of(at_most)
        hint = f", or --repeat-confidence={lower:.0%}" if lower else ""
        problems.append(Problem(f"found {at_most}, expected 1, or {why}{hint}", field="--repeat"))
    return Repeats(at_most, test, make_all)


def _confidence_of(at_most: int) -> float | None:
    """The highest usual confidence for which so many attempts can be enough."""
    lower = (confidence for confidence in (0.9, 0.8, 0.7) if SequentialTest(confidence=confidence).least() <= at_most)
    return next((confidence for confidence in lower if confidence < CONFIDENCE), None)
