"""Wald's sequential probability ratio test: when enough attempts of an experiment have been run to decide on it.

Every attempt has the expected outcome or not. The test compares two hypotheses: that at least the share ``good`` of all
attempts has the expected outcome, and that at most the share ``bad`` has. It stops as soon as the evidence for one of
them reaches the requested confidence (A. Wald, "Sequential tests of statistical hypotheses", Annals of Mathematical
Statistics 16 (1945) 117–186). If one of them is true, no test with the same error rates needs fewer attempts on average
(Wald and Wolfowitz, 1948), and checking after every attempt needs no correction, unlike exact bounds for a fixed number
of attempts. If the true share is between the two, the result may be either. A maximum number of attempts can only leave
the test undecided; it does not increase the error rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

# An experiment with the expected outcome in 19 of 20 attempts is reliable; one with it in every second attempt is not.
GOOD, BAD, CONFIDENCE = 0.95, 0.5, 0.95


@dataclass(frozen=True, slots=True)
class SequentialTest:
    """The test, with its two hypotheses and the confidence of either decision.

    Raises ValueError unless 0 < bad < good < 1 and the confidence is between 50 % and 100 %.
    """

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
        """Return whether attempts have the expected outcome, given these in order; None if undecided."""
        return self.settled(outcomes)[0]

    def settled(self, outcomes: Iterable[bool]) -> tuple[bool | None, int | None]:
        """Return the decision and the number (from 1) of the attempt that settled it; later ones have no effect."""
        evidence = 0.0
        for number, expected in enumerate(outcomes, 1):
            evidence += self._for if expected else self._against
            # The sum of logarithms may miss the bound by float noise, which would cost one more attempt.
            if abs(evidence) >= self._bound - 1e-12:
                return evidence > 0, number
        return None, None

    def least(self, failures: int = 0) -> int:
        """Return the fewest attempts that can decide for ``good`` if ``failures`` lack the expected outcome."""
        return failures + math.ceil((self._bound - failures * self._against) / self._for - 1e-12)

    @property
    def _bound(self) -> float:
        # Both error rates are 1 - confidence, so Wald's bounds log((1 - β) / α) and log(β / (1 - α)) are symmetric.
        return math.log(self.confidence / (1 - self.confidence))

    @property
    def _for(self) -> float:
        return math.log(self.good / self.bad)

    @property
    def _against(self) -> float:
        return math.log((1 - self.good) / (1 - self.bad))
