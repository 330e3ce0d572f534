"""The verdicts HELD, BROKEN and INCONCLUSIVE. The worst one counts, and HELD needs proof."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of an objective, of an experiment, of a run."""

    HELD = "HELD"
    INCONCLUSIVE = "INCONCLUSIVE"
    BROKEN = "BROKEN"


_SEVERITY = {Verdict.HELD: 0, Verdict.INCONCLUSIVE: 1, Verdict.BROKEN: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; INCONCLUSIVE if there are none, since nothing was shown."""
    return max(verdicts, key=_SEVERITY.__getitem__, default=Verdict.INCONCLUSIVE)
