"""From a judged record to what a test runner shows: nothing, a failure, or an error."""

from __future__ import annotations

from harness.errors import HarnessError
from harness.record import ExperimentRecord, RunRecord
from harness.verdict import Verdict


class Broken(AssertionError):
    """An objective was missed: pytest's "failed"."""


class Undecided(HarnessError):
    """The verdict is INCONCLUSIVE: pytest's "error"."""


def left_behind(run: RunRecord) -> list[str]:
    """Every effect of a run that is not taken back, in one line each: what people must do by hand."""
    return [
        f"{each.id}: {undo.description}: {undo.error or 'not tried'} (journal: undo.jsonl in the experiment's folder)"
        for record in run.experiments
        for each in (record, *record.attempts)
        for fault in each.faults
        for undo in fault.undo
        if undo.state != "done"
    ]


def check(record: ExperimentRecord) -> None:
    """Raise what is to be shown for a record that did not pass."""
    if record.passed:
        return
    missed = [
        f"{seen.verdict}: {seen.title}: {seen.reason}" for seen in record.objectives if seen.verdict != Verdict.HELD
    ]
    text = "\n".join([f"{record.verdict}: {record.reason}", *missed, *record.notes])
    if record.verdict is Verdict.INCONCLUSIVE:
        raise Undecided(text)
    raise Broken(text)
