"""When several attempts are enough to say how an experiment comes out: Wald's sequential probability ratio test.

Every attempt comes out as it should or does not. The test weighs one claim, that at least ``good`` of all attempts come
out as they should, against another, that at most ``bad`` of them do, and stops as soon as the evidence for one of them
is as strong as was asked for (A. Wald, "Sequential tests of statistical hypotheses", Annals of Mathematical Statistics
16 (1945) 117–186). Of all tests with the same errors it needs the fewest attempts on average where either claim is
true (Wald and Wolfowitz, 1948), and no look at the evidence costs anything: fixed numbers of attempts with exact bounds
would have to be corrected for every look. Between the two claims it may say either; stopping at a greatest number of
attempts can only leave it undecided, never make it wrong more often.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

# An experiment that comes out as it should in 19 of 20 attempts is sound, one that does in every other is not.
GOOD, BAD, CONFIDENCE = 0.95, 0.5, 0.95


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """The test: what is claimed, and the confidence of either verdict. Raises ValueError unless 0 < bad < good < 1 and
    the confidence lies between 50 % and 100 %."""

    good: float = GOOD
    bad: float = BAD
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        if not (0 < self.bad < self.good < 1 and 0.5 < self.confidence < 1):
            raise ValueError(
                f"found good {self.good}, bad {self.bad} and confidence {self.confidence}, expected 0 < bad < good < 1 "
                "and a confidence above 50% and below 100%"
            )

    def decide(self, outcomes: Iterable[bool]) -> bool | None:
        """Whether attempts come out as they should, by these in their order; None while that is not clear."""
        return self.settled(outcomes)[0]

    def settled(self, outcomes: Iterable[bool]) -> tuple[bool | None, int | None]:
        """The decision, and the outcome (from 1) that brought it; what came after it changes nothing."""
        evidence = 0.0
        for number, as_should in enumerate(outcomes, 1):
            evidence += self._for if as_should else self._against
            if abs(evidence) >= self._bound - 1e-12:
                return evidence > 0, number
        return None, None

    def least(self, failures: int = 0) -> int:
        """The fewest attempts, of which so many do not come out as they should, that can settle that they do."""
        return failures + math.ceil((self._bound - failures * self._against) / self._for - 1e-12)

    @property
    def _bound(self) -> float:
        # Both errors are 1 - confidence, so that Wald's two bounds, log((1 - β) / α) and log(β / (1 - α)), mirror.
        return math.log(self.confidence / (1 - self.confidence))

    @property
    def _for(self) -> float:
        return math.log(self.good / self.bad)

    @property
    def _against(self) -> float:
        return math.log((1 - self.good) / (1 - self.bad))
