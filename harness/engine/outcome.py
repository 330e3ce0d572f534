"""Map the verdict of a record to the outcome in pytest: passed, failed or error."""

from __future__ import annotations

from harness.common.errors import HarnessError
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, RunRecord

# How the message of the error LeftBehind starts, which becomes the reason of the verdict.
LEFT_BEHIND = "LEFT BEHIND"


class Broken(AssertionError):
    """An objective was missed; pytest shows "failed"."""


class Undecided(HarnessError):
    """The verdict is INCONCLUSIVE; pytest shows "error"."""


def left_behind(run: RunRecord) -> list[str]:
    """Return one line for each effect of a run that is not undone and needs manual action."""
    return [line for record in run.everything for line in not_undone(record)]


def not_undone(record: ExperimentRecord) -> list[str]:
    """Return one line for each effect of an experiment that is not undone and needs manual action."""
    return [
        f"{each.id}: {undo.description}: {undo.error or 'not tried'} (journal: undo.jsonl in the experiment's folder)"
        for each in (record, *record.attempts)
        for fault in each.faults
        for undo in fault.undo
        if undo.state != "done"
    ]


def leftovers(record: ExperimentRecord) -> list[str]:
    """Return one line for everything that a closed experiment left in the cluster: effects, and objects."""
    found = [f"{each.id}: {each.reason}" for each in (record, *record.attempts) if each.reason.startswith(LEFT_BEHIND)]
    return [*not_undone(record), *found]


def had_faults(record: ExperimentRecord) -> bool:
    """Return whether a fault was injected."""
    return any(fault.injected for fault in record.faults)


def check(record: ExperimentRecord) -> None:
    """Raise Broken or Undecided for a record that did not pass."""
    if record.passed:
        return
    # The reason quotes the objectives that decided the verdict; list the others on separate lines.
    missed = [
        f"{seen.verdict}: {seen.title}: {seen.reason}"
        for seen in record.objectives
        if seen.verdict != Verdict.HELD and f"{seen.title}: {seen.reason}" not in record.reason
    ]
    text = "\n".join([f"{record.verdict}: {record.reason}", *missed, *record.notes])
    if record.verdict is Verdict.INCONCLUSIVE:
        raise Undecided(text)
    raise Broken(text)
