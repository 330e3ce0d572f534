"""Progress lines of a sealed game day: kept until the plan is opened, except for messages about safety."""

from __future__ import annotations

import re

from harness.common.clock import Clock, iso
from harness.common.progress import Progress

# Shown at once even if they name an experiment or a victim: whoever reads them must act.
SAFETY = re.compile(
    r"undo|left (behind|over)|leftover|halt|abort|stopped early|fail|lease|\blost\b|sweep|refuse|not deleted",
    re.IGNORECASE,
)


# A verdict's reason names the objectives, and "none of 900 requests failed" says nothing about safety.
_VERDICT = re.compile(r": (HELD|BROKEN|INCONCLUSIVE): ")
_STILL_THERE = re.compile("UNDO FAILED|LEFT BEHIND|Lease")
# The normal end of all faults, or of one of several with its victims.
_UNDOING = re.compile(r": undoing( |$)")


class SealedProgress:
    """Shows lines about safety, and keeps all others with their time of day."""

    def __init__(self, show: Progress, clock: Clock) -> None:
        self._show, self._clock = show, clock
        self._kept: list[str] = []

    def __call__(self, message: str, /) -> None:
        if _is_about_safety(message):
            self._show(message)
        self._kept.append(f"{iso(self._clock.wall())} {message}")

    def open(self) -> None:
        """Show the lines that were kept, and keep none any more."""
        kept, self._kept = self._kept, []
        for line in kept:
            self._show(line)


def _is_about_safety(message: str) -> bool:
    if _VERDICT.search(message):
        return bool(_STILL_THERE.search(message))
    return not _UNDOING.search(message) and bool(SAFETY.search(message))
