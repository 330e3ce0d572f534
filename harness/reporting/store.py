"""A run's folder: each experiment's record in a file of its own while it runs, and ``results.json`` when all are done.

::

    reports/<run-id>/
      experiments/<slug>.json   written anew at every stage: declared, observed, judged, closed
      experiments/<slug>/       what the experiment keeps: its undo journal, the load's requests, the cluster's state
      results.json              the whole run
      index.html summary.md     rendered from results.json alone

Every file is replaced in one step, so that whoever reads it, at any moment and after any crash, finds a whole record of
the last stage that was reached. Each worker of pytest-xdist writes only the files of its own experiments.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.durable import sync_folder
from harness.errors import InputError, Problem
from harness.record import SCHEMA_VERSION, ExperimentRecord, RunRecord
from harness.verdict import Verdict

RESULTS = "results.json"
EXPERIMENTS = "experiments"
# NAME_MAX is 255 bytes; room is left for the digest, the suffix and a temporary file's own prefix.
MAX_STEM = 120

Record = TypeVar("Record", bound=BaseModel)


def slug(record: ExperimentRecord) -> str:
    """A file name for an experiment: readable, safe on every file system, unique for its node id, twin and attempt.

    The digest tells apart what lowering and cutting make alike (``a/b`` and ``a-b``, long names with one beginning).
    """
    attempt = [record.attempt] if record.attempt else []
    digest = hashlib.sha256(json.dumps([record.id, record.twin, *attempt]).encode()).hexdigest()[:10]
    named = " ".join(map(str, [record.name, record.twin, *attempt]))
    stem = re.sub(r"[^a-z0-9]+", "-", named.lower()).strip("-")[:MAX_STEM].strip("-")
    return f"{stem}-{digest}" if stem else digest


def write_atomically(file: Path, text: str) -> None:
    """Replace a file in one step, on the disk before its name points at it. Raises OSError and then changes nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files for their owner only; a report is for whoever may read the folder.
        temporary.chmod(0o644)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


class RunStore:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def results(self) -> Path:
        return self.folder / RESULTS

    def folder_of(self, record: ExperimentRecord) -> Path:
        """The folder for an experiment's own files, made when it is not there. Raises OSError."""
        folder = self.folder / EXPERIMENTS / slug(record)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def save(self, record: ExperimentRecord) -> Path:
        """Store an experiment as it stands now, in place of its earlier stage. Raises OSError.

        The attempts of a series have files of their own: a crash costs the one that was under way.
        """
        file = self.folder / EXPERIMENTS / f"{slug(record)}.json"
        write_atomically(file, _json(record.model_copy(update={"attempts": []})))
        return file

    def merge(self, run: RunRecord) -> RunRecord:
        """The run with every stored experiment, whichever process stored it, in the order they started.

        One that was judged and never closed has no verdict that counts: what ended it may have left something behind.
        Raises InputError naming each file that is no experiment record.
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
        # One that never started (declared, then the run was cut) has no time: it comes last.
        experiments.sort(key=lambda record: (not record.started, record.started, record.id, record.twin))
        return run.model_copy(update={"experiments": experiments})

    def write(self, run: RunRecord) -> Path:
        """Store the run as results.json. Raises OSError."""
        write_atomically(self.results, _json(run))
        return self.results


def load(folder: Path) -> RunRecord:
    """A stored run, from its folder or from a results.json itself.

    A run that never finished comes with the experiments that were stored until it was cut short. Raises InputError
    naming the file: missing, not whole, not a run, or written by a newer harness.
    """
    file = folder if folder.is_file() else folder / RESULTS
    run = _read(file, RunRecord)
    return run if run.finished else RunStore(file.parent).merge(run)


def _standing(record: ExperimentRecord) -> ExperimentRecord:
    """The record with a verdict that counts."""
    if record.stage != "judged":
        return record
    until_then = f"{record.verdict}: {record.reason}"
    reason = f"the run ended before it was seen that nothing was left behind; its verdict until then: {until_then}"
    return record.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "passed": False, "reason": reason})


def _gathered(records: list[ExperimentRecord]) -> list[ExperimentRecord]:
    """Every attempt within the series that it belongs to."""
    attempts: dict[tuple[str, str], list[ExperimentRecord]] = {}
    for record in records:
        if record.attempt:
            attempts.setdefault((record.id, record.twin), []).append(record)
    for record in records:
        if record.series:
            found = attempts.pop((record.id, record.twin), [])
            record.attempts = sorted(found, key=lambda attempt: attempt.attempt)
    return [record for record in records if not record.attempt or (record.id, record.twin) in attempts]


def _json(record: BaseModel) -> str:
    return record.model_dump_json(indent=1) + "\n"


def _read(file: Path, model: type[Record]) -> Record:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError([Problem(f"no such file; expected the {RESULTS} of a run", file)]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(f"cannot be read: {error}", file)]) from error
    except (json.JSONDecodeError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise InputError([Problem(f"not whole JSON, cut short or edited: {error}", file, line)]) from error
    version = data.get("schema_version", SCHEMA_VERSION) if isinstance(data, dict) else SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        message = f"found version {version!r}, this harness reads version {SCHEMA_VERSION!r}: use the one that wrote it"
        raise InputError([Problem(message, file, field="schema_version")])
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError([_problem(file, detail["loc"], detail["msg"]) for detail in error.errors()]) from error


def _problem(file: Path, place: tuple[int | str, ...], message: str) -> Problem:
    return Problem(message[:1].lower() + message[1:], file, field=".".join(str(part) for part in place))
