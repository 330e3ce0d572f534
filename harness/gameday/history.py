"""What is stored of earlier runs of each experiment: when, with which verdict, of which content, and how long it took.

Read from the ``results.json`` of runs; a run that was killed has no such file, so the records of its experiments are
read. A file that cannot be read, or is of another version, is left out with a note: history only orders a choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError

from harness.experiment.declaration import Experiment
from harness.model.quantities import counted
from harness.model.verdict import Verdict
from harness.results.record import SCHEMA_VERSION, ExperimentRecord
from harness.results.reporting.overview import contribution
from harness.results.reporting.store import EXPERIMENTS, RESULTS

# The newest runs of a folder; older ones are not read.
MOST_RUNS = 200
# Runs of an experiment that its expected duration is derived from.
MEASURED_RUNS = 5
# Seconds to deploy, become ready and clean up, beside the phases, where nothing has been measured.
OVERHEAD = 30.0
_KEYS = ("id", "name", "twin", "stage", "verdict", "passed", "interrupted", "started", "finished", "content", "phases")


@dataclass(frozen=True, slots=True)
class Past:
    """One run of an experiment or twin.

    ``finished`` is in Unix seconds. ``seconds`` is the length of one attempt; None if it says nothing about the next
    run, since the run ended early. ``overhead`` is what it took beside its phases. ``context`` is that of the cluster,
    empty if the run was killed; ``owned``: the harness created that cluster.
    """

    name: str
    twin: str
    finished: float
    verdict: Verdict
    content: str = ""
    seconds: float | None = None
    overhead: float | None = None
    context: str = ""
    owned: bool = False


def anywhere(_past: Past) -> bool:
    """Count the runs on all clusters."""
    return True


def on_context(context: str | None) -> Callable[[Past], bool]:
    """Count the runs on the cluster of a context; None if it is known only once it is connected: those on clusters
    that the harness created, since any other must be named."""
    return lambda past: past.owned if context is None else past.context == context


@dataclass(frozen=True, slots=True)
class History:
    """The runs of all experiments, the oldest first. ``notes`` says what could not be read.

    Only runs on the cluster of this run (``here``) show what was tried on it. Where it has no run of an experiment,
    those on other clusters still show how long it takes.
    """

    runs: Sequence[Past] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    here: Callable[[Past], bool] = anywhere

    def of(self, name: str, twin: str = "") -> list[Past]:
        """Return the runs of an experiment or twin on this cluster, the oldest first."""
        return [past for past in self._everywhere(name, twin) if self.here(past)]

    def expected(self, experiment: Experiment) -> float:
        """Return how many seconds one attempt of an experiment or twin probably takes.

        These are the declared phases and what was measured beside them: the recovery mostly ends early, and the
        workload must be deployed and deleted. If it has not run with this content, its phases count in full, and the
        overhead of the other experiments is added.
        """
        runs = self._everywhere(experiment.name, experiment.twin)
        fitting = [past for past in runs if past.seconds is not None and past.content in {"", experiment.content}]
        for found in ([past for past in fitting if self.here(past)], fitting):
            if measured := [past.seconds for past in found if past.seconds is not None]:
                return median(measured[-MEASURED_RUNS:])
        return experiment.phases.total + self.overhead

    def ran(self, name: str) -> bool:
        """Return whether an experiment has run on any cluster."""
        return bool(self._everywhere(name, ""))

    def _everywhere(self, name: str, twin: str) -> list[Past]:
        return [past for past in self.runs if (past.name, past.twin) == (name, twin)]

    @property
    def overhead(self) -> float:
        """The seconds that experiments take beside their phases: the median of all runs."""
        return median([past.overhead for past in self.runs if past.overhead is not None] or [OVERHEAD])


def read_history(
    reports: Path, before: float, others: Iterable[Path] = (), here: Callable[[Past], bool] = anywhere
) -> History:
    """Return the history in these folders and all below them: what had ended at ``before`` (Unix seconds).

    ``reports`` is the report folder, which does not exist before the first run; another folder that does not exist
    gets a note. All processes of a run that give the same time get the same history, also while other runs end.
    """
    others = tuple(others)
    runs: dict[tuple[str, str, str, float], Past] = {}
    notes = [f"{folder}: no such folder, so there is no history from it" for folder in others if not folder.is_dir()]
    for folder in (reports, *others):
        files = sorted(_files(folder), key=_changed, reverse=True)
        if len(files) > MOST_RUNS:
            notes.append(f"{folder}: only the newest {MOST_RUNS} of {counted(len(files), 'run')} were read")
        for file in files[:MOST_RUNS]:
            try:
                place, records = _read(file)
                found = [_past(record, place) for record in records]
            except (OSError, ValueError, RecursionError) as error:
                notes.append(f"{file}: left out of the history: {str(error).splitlines()[0]}")
                continue
            # A run may be in several folders, such as a report folder and a copy of it.
            runs |= {(id_, past.name, past.twin, past.finished): past for id_, past in found if past.finished <= before}
    return History(sorted(runs.values(), key=lambda past: (past.finished, past.name, past.twin)), notes, here)


def _files(folder: Path) -> Iterable[Path]:
    """Yield one file or folder for each run."""
    yield from folder.rglob(RESULTS)
    for records in folder.rglob(EXPERIMENTS):
        if not (records.parent / RESULTS).exists() and any(records.glob("*.json")):
            yield records


def _changed(file: Path) -> tuple[float, str]:
    try:
        return file.stat().st_mtime, str(file)
    except OSError:
        return 0.0, str(file)


def _read(file: Path) -> tuple[tuple[str, bool], list[ExperimentRecord]]:
    """Return the context of a run and whether its cluster is owned, and its records. Raises OSError, ValueError."""
    place = ("", False)
    if file.is_dir():
        texts = [json.loads(each.read_text(encoding="utf-8")) for each in sorted(file.glob("*.json"))]
    else:
        data = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"not the results of a run in version {SCHEMA_VERSION}")
        texts = data.get("experiments") or []
        place = _place(data.get("environment"))
    return place, [_record(each) for each in texts]


def _place(environment: Any) -> tuple[str, bool]:  # noqa: ANN401 - JSON of a file
    if not isinstance(environment, dict):
        return "", False
    # Older records have no ownership.
    owned = (environment.get("ownership") or ("owned" if environment.get("provider") == "local" else "")) == "owned"
    return str(environment.get("context", "")), owned


def _record(data: Any) -> ExperimentRecord:  # noqa: ANN401 - JSON of a file
    if not isinstance(data, dict):
        raise ValueError(f"found {type(data).__name__}, expected the record of an experiment")  # noqa: TRY004
    known = {key: data[key] for key in _KEYS if key in data}
    # Only their number counts: the attempts of a series have records of the same size as the series itself.
    many = len(data.get("attempts") or ()) or (1 if not data.get("series") else 0)
    try:
        record = ExperimentRecord.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return record.model_copy(update={"attempt": many})


def _past(record: ExperimentRecord, place: tuple[str, bool]) -> tuple[str, Past]:
    started, finished = _seconds(record.started), _seconds(record.finished) or _seconds(record.started)
    verdict = contribution(record)
    # One that ended early says nothing about the length of the next run.
    conclusive = record.stage == "closed" and not record.cut_short and verdict is not Verdict.INCONCLUSIVE
    length = finished - started
    seconds = length / record.attempt if conclusive and length > 0 and record.attempt else None
    phases = sum(phase.end - phase.start for phase in record.phases if phase.end is not None)
    overhead = max(0.0, length - phases) if seconds is not None and record.attempt == 1 and phases else None
    return record.id, Past(record.name, record.twin, finished, verdict, record.content, seconds, overhead, *place)


def _seconds(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError):
        return 0.0
