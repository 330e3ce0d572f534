"""Map the verdict of a record to the outcome in pytest: passed, failed or error."""

from __future__ import annotations

from harness.common.errors import HarnessError
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, RunRecord


class Broken(AssertionError):
    """An objective was missed; pytest shows "failed"."""


class Undecided(HarnessError):
    """The verdict is INCONCLUSIVE; pytest shows "error"."""


def left_behind(run: RunRecord) -> list[str]:
    """Return one line for each effect of a run that is not undone and needs manual action."""
    return [
        f"{each.id}: {undo.description}: {undo.error or 'not tried'} (journal: undo.jsonl in the experiment's folder)"
        for record in run.experiments
        for each in (record, *record.attempts)
        for fault in each.faults
        for undo in fault.undo
        if undo.state != "done"
    ]


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
