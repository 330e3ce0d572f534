"""What a scheduled run ended with: written by its pod as the termination message, read by ``harness schedule list``."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.common.errors import InputError
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting.overview import contribution, headline, run_verdict
from harness.results.reporting.store import EXPERIMENTS, RESULTS, load

# Kubernetes' limit for a termination message.
LIMIT = 4096
_MOST = 10


class Outcome(BaseModel):
    """The result of one scheduled run. ``state`` is a verdict, or why there is none."""

    model_config = ConfigDict(frozen=True)

    state: Literal["HELD", "BROKEN", "INCONCLUSIVE", "refused", "failed"]
    exit_code: int
    run: str = ""
    headline: str = ""
    reason: str = ""
    left: list[str] = Field(default_factory=list, description="experiments that may have left something behind")
    worst: list[str] = Field(default_factory=list, description="experiments that are not HELD, with their verdicts")
    stored: str = Field(default="", description="where the report is; empty: it could not be stored")

    def message(self) -> str:
        """Return the termination message, cut to Kubernetes' limit."""
        found = self
        while len(text := json.dumps(found.model_dump(), separators=(",", ":")).encode()) > LIMIT:
            half = len(found.reason) // 2
            found = found.model_copy(
                update={"reason": found.reason[:half], "left": found.left[:half], "worst": found.worst[: half // 2]}
            )
        return text.decode()


def read_outcome(message: str) -> Outcome | None:
    """Return the outcome in a termination message, or None if the pod ended before it could write one."""
    try:
        return Outcome.model_validate_json(message)
    except ValidationError:
        return None


def runs_in(reports: Path, earlier: Collection[str] = ()) -> list[Path]:
    """Return the folders of the runs in a report folder except ``earlier`` ones, the newest last."""
    # Beside them are the states of game days.
    found = [path for path in reports.glob("*") if (path / RESULTS).exists() or (path / EXPERIMENTS).is_dir()]
    return sorted(path for path in found if path.name not in earlier)


def outcome_of(reports: Path, code: int, stored: str, earlier: Collection[str] = ()) -> Outcome:
    """Return the outcome of the newest run in a report folder that is not an ``earlier`` one.

    ``code`` is pytest's exit code.
    """
    folders = runs_in(reports, earlier)
    if not folders:
        return Outcome(state="failed", exit_code=code, reason="pytest ended before an experiment began: see the log")
    try:
        run = load(folders[-1])
    except InputError as error:
        return Outcome(state="failed", exit_code=code, reason=str(error), stored=stored, run=folders[-1].name)
    if not run.experiments:
        skips = [f"{skip.name}: {skip.reason}" for skip in run.skipped[:_MOST]]
        reason = "no experiment was run: " + ("; ".join(skips) or "see the log")
        return Outcome(state="failed", exit_code=code, reason=reason, stored=stored, run=run.run)
    return _of(run, code, stored)


def _of(run: RunRecord, code: int, stored: str) -> Outcome:
    bad = [each for each in run.experiments if contribution(each).value != "HELD"]
    return Outcome(
        state=run_verdict(run).value,
        exit_code=code,
        run=run.run,
        headline=headline(run),
        reason=run.game_day.reason if run.game_day else "",
        left=_titles([each for each in run.experiments if _left(each)]),
        worst=[f"{title} {each.verdict.value}" for title, each in zip(_titles(bad), bad, strict=False)],
        stored=stored,
    )


def _left(record: ExperimentRecord) -> bool:
    """Return whether an experiment may have left something: an undo that is not done, or no check for leftovers."""
    undone = all(undo.state == "done" for fault in record.faults for undo in fault.undo)
    return not undone or record.stage in {"observed", "judged"}


def _titles(records: Sequence[ExperimentRecord]) -> list[str]:
    return [f"{each.name}[{each.twin}]" if each.twin else each.name for each in records[:_MOST]]
