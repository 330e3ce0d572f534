"""What the drafts of several faults have in common: phases, and the objectives on requests and on recovery."""

from __future__ import annotations

from harness.experiment.scaffold.draft import Commented, Limits, tens
from harness.experiment.scaffold.subject import Subject

BASELINE, SETTLE = 10, 10
NO_TWIN = "no twin: with {what}, a weaker copy would not differ"


def phase_lengths(fault: int, recovery: int) -> dict[str, int]:
    """Return the length of each phase in seconds, for a fault of this length and a limit of recovery."""
    # Longer than the limit: a recovery that misses it must be seen to miss it.
    return {"baseline": BASELINE, "fault": fault, "recovery": tens(recovery + 20), "settle": SETTLE}


def loaded(subject: Subject) -> bool:
    """Return whether the experiment has a load."""
    return subject.entrance is not None and subject.entrance.http


def served(subject: Subject, limits: Limits, phases: tuple[str, ...] = ()) -> tuple[Commented, ...]:
    """Return the objectives on requests; none without a load."""
    if not loaded(subject):
        return ()
    within = {"phases": list(phases)} if phases else {}
    return (
        Commented({"availability": {"min": limits.share, **within}}, limits.origin),
        Commented({"latency": {"share": "95%", "below": limits.below, **within}}, limits.origin),
    )


def recovery_time(subject: Subject, limits: Limits) -> Commented:
    """Return the objective on the time to recover from the injection."""
    return Commented({"recoveryTime": {"of": subject.name, "max": f"{limits.recovery}s"}}, limits.origin)


def after_undo(subject: Subject, limits: Limits) -> Commented:
    """Return the objective on the time to recover from the undo."""
    found = {"of": subject.name, "max": f"{limits.recovery}s", "since": "undone"}
    return Commented({"recoveryTime": found}, limits.origin)
