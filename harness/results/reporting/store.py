"""A run's folder: a file for each experiment's record during the run, and ``results.json`` at the end.

::

    reports/<run-id>/
      experiments/<slug>.json   rewritten at every stage: declared, observed, judged, closed
      experiments/<slug>/       files of the experiment: undo journal, requests of the load, state of the cluster
      results.json              the whole run
      index.html summary.md     rendered from results.json alone

Every file is replaced atomically, so that a reader always finds a complete record of the last stage that was reached,
even after a crash. Each pytest-xdist worker writes only the files of the experiments that it runs.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.common.durable import sync_folder
from harness.common.errors import InputError, Problem
from harness.model.verdict import Verdict
from harness.results.record import SCHEMA_VERSION, ExperimentRecord, RunRecord
from harness.results.reporting.mutation import judged

RESULTS = "results.json"
EXPERIMENTS = "experiments"
# NAME_MAX is 255 bytes; this leaves space for the digest, the suffix and the prefix of temporary files.
MAX_STEM = 120

Record = TypeVar("Record", bound=BaseModel)


def slug(record: ExperimentRecord) -> str:
    """Return a file name that is readable, safe on every file system and unique for node ID, twin, attempt and rerun.

    The digest distinguishes names that are equal after normalising and cutting (``a/b`` and ``a-b``, long names).
    """
    attempt: list[int | str] = [record.attempt] if record.attempt else []
    attempt += [f"rerun {record.rerun}"] if record.rerun else []
    digest = hashlib.sha256(json.dumps([record.id, record.twin, *attempt]).encode()).hexdigest()[:10]
    named = " ".join(map(str, [record.name, record.twin, record.mutant, *attempt]))
    stem = re.sub(r"[^a-z0-9]+", "-", named.lower()).strip("-")[:MAX_STEM].strip("-")
    return f"{stem}-{digest}" if stem else digest


def write_atomically(file: Path, text: str) -> None:
    """Replace a file atomically and durably: the content is on disk before the rename. Changes nothing on OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, since a rename is atomic only within one file system.
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp creates files that only the owner can read; a report is for everyone with access to the folder.
        temporary.chmod(0o644)
        temporary.replace(file)
    # Including Ctrl-C: a temporary file must not stay in the folder of the reports.
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The rename is on disk only once the folder is synced.
    sync_folder(file.parent)


class RunStore:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def results(self) -> Path:
        return self.folder / RESULTS

    def folder_of(self, record: ExperimentRecord) -> Path:
        """Return the folder for an experiment's files; create it if necessary. Raises OSError."""
        folder = self.folder / EXPERIMENTS / slug(record)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def next_rerun(self, node_id: str, twin: str) -> int:
        """Return how often this item was run before in this run, by any process: 0 the first time. Raises OSError."""
        # The marker has no suffix .json, so `merge` does not read it as a record. A file also counts across the
        # processes of pytest-xdist.
        stem = hashlib.sha256(json.dumps([node_id, twin]).encode()).hexdigest()[:20]
        folder = self.folder / EXPERIMENTS
        folder.mkdir(parents=True, exist_ok=True)
        for number in itertools.count():
            # Mode "x": only one process can create the file.
            with suppress(FileExistsError), (folder / f".{stem}-{number}").open("x"):
                return number
        # itertools.count() does not end, but type checkers cannot derive that.
        raise AssertionError("counting does not end")

    def save(self, record: ExperimentRecord) -> Path:
        """Store the current stage of an experiment, replacing the previous one. Raises OSError.

        The attempts of a series have separate files, so that a crash loses only the current attempt.
        """
        file = self.folder / EXPERIMENTS / f"{slug(record)}.json"
        write_atomically(file, _json(record.model_copy(update={"attempts": []})))
        return file

    def discard(self, records: Iterable[ExperimentRecord]) -> None:
        """Delete the records of an experiment that was refused before it did anything. Raises OSError."""
        for record in records:
            (self.folder / EXPERIMENTS / f"{slug(record)}.json").unlink(missing_ok=True)

    def merge(self, run: RunRecord) -> RunRecord:
        """Return the run with all stored experiments and mutants of all processes, in the order of their start.

        An experiment that was judged but not closed becomes INCONCLUSIVE: the interrupted run may have left something
        in the cluster. A skipped experiment that has a record is in ``experiments`` only. Raises InputError with every
        file that is not an experiment record.
        """
        problems: list[Problem] = []
        experiments: list[ExperimentRecord] = []
        for file in sorted((self.folder / EXPERIMENTS).glob("*.json")):
            try:
                experiments.append(_standing(_read(file, ExperimentRecord)))
            except InputError as error:
                problems.extend(error.problems)
        if problems:
            raise InputError(problems)
        experiments = _gathered(experiments)
        # An experiment that did not start (the run was interrupted) has no time: it comes last.
        experiments.sort(key=lambda record: (not record.started, record.started, record.id, record.twin, record.rerun))
        recorded = {record.id for record in experiments}
        skipped = [skip for skip in run.skipped if skip.id not in recorded]
        mutants = [record for record in experiments if record.mutant]
        left_out = [skip for skip in skipped if skip.mutant]
        found = {
            "experiments": [record for record in experiments if not record.mutant],
            "mutants": mutants,
            "skipped": [skip for skip in skipped if not skip.mutant],
        }
        merged = run.model_copy(update=found)
        return merged.model_copy(update={"mutation": judged(merged, left_out)})

    def find(self, node_id: str, name: str, *, twin: str = "", mutant: str = "") -> ExperimentRecord | None:
        """Return the stored record of an experiment, by any process, at its current stage. Raises InputError."""
        stem = slug(ExperimentRecord(id=node_id, name=name, twin=twin, mutant=mutant))
        file = self.folder / EXPERIMENTS / f"{stem}.json"
        return _read(file, ExperimentRecord) if file.is_file() else None

    def write(self, run: RunRecord) -> Path:
        """Store the run as results.json. Raises OSError."""
        write_atomically(self.results, _json(run))
        return self.results


def load(folder: Path) -> RunRecord:
    """Load a run from its folder or from its results.json.

    An unfinished run has the experiments that were stored before it was interrupted. Raises InputError with the file if
    it is missing, incomplete, not a run, or has another schema version.
    """
    file = folder if folder.is_file() else folder / RESULTS
    run = _read(file, RunRecord)
    return run if run.finished else RunStore(file.parent).merge(run)


def _standing(record: ExperimentRecord) -> ExperimentRecord:
    """Return the record, as INCONCLUSIVE if it was judged but not closed."""
    # Only a record that is closed has passed the check for leftovers; before that, no verdict is final.
    if record.stage != "judged":
        return record
    provisional = f"{record.verdict}: {record.reason}"
    reason = f"the run ended before the check for leftovers; verdict before that: {provisional}"
    return record.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "passed": False, "reason": reason})


def _gathered(records: list[ExperimentRecord]) -> list[ExperimentRecord]:
    """Move every attempt into the record of its series."""
    attempts: dict[tuple[str, str, int], list[ExperimentRecord]] = {}
    for record in records:
        if record.attempt:
            attempts.setdefault(_item(record), []).append(record)
    for record in records:
        if record.series:
            found = attempts.pop(_item(record), [])
            record.attempts = sorted(found, key=lambda attempt: attempt.attempt)
    return [record for record in records if not record.attempt or _item(record) in attempts]


def _item(record: ExperimentRecord) -> tuple[str, str, int]:
    return record.id, record.twin, record.rerun


def _json(record: BaseModel) -> str:
    return record.model_dump_json(indent=1) + "\n"


def _read(file: Path, model: type[Record]) -> Record:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError([Problem(f"no such file; expected the {RESULTS} of a run", file)]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(f"cannot be read: {error}", file)]) from error
    # The decoder of json is recursive: deeply nested input raises RecursionError.
    except (json.JSONDecodeError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise InputError([Problem(f"invalid JSON (truncated or edited): {error}", file, line)]) from error
    version = data.get("schema_version", SCHEMA_VERSION) if isinstance(data, dict) else SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        message = f"found version {version!r}, expected {SCHEMA_VERSION!r}: use the harness version that wrote the file"
        raise InputError([Problem(message, file, field="schema_version")])
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError([_problem(file, detail["loc"], detail["msg"]) for detail in error.errors()]) from error


def _problem(file: Path, place: tuple[int | str, ...], message: str) -> Problem:
    return Problem(message[:1].lower() + message[1:], file, field=".".join(str(part) for part in place))
