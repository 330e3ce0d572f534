"""GitHub's workflow commands: one annotation at the file and line of each objective that is not HELD."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from harness.common.documents import Document, load_document
from harness.common.errors import InputError
from harness.common.file_text import SUFFIXES
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, ObjectiveRecord
from harness.results.reporting import overview
from harness.results.reporting.plain import harmless, one_line
from harness.results.skip_record import SkipRecord

# GitHub cuts longer annotations, and a message from a cluster may be megabytes long.
MAX_MESSAGE = 2000


class Level(StrEnum):
    """The levels of GitHub's annotations."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


LEVELS = {Verdict.BROKEN: Level.ERROR, Verdict.INCONCLUSIVE: Level.WARNING}


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation. ``file`` is relative to the workspace if it is in it; ``line`` counts from 1."""

    level: Level
    title: str
    message: str
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        """Return the workflow command: ``::error file=…,line=…,title=…::message``."""
        found = {"file": self.file, "line": "" if self.line is None else str(self.line), "title": one_line(self.title)}
        properties = ",".join(f"{name}={_property(value)}" for name, value in found.items() if value)
        return f"::{self.level}{' ' if properties else ''}{properties}::{_data(harmless(self.message[:MAX_MESSAGE]))}"


@dataclass(frozen=True, slots=True)
class Places:
    """Where tests are: ``root`` is pytest's rootdir; ``workspace`` is the folder that paths are relative to.

    ``lines`` has the lines of Python tests, from 1, by node ID, and ``files`` the files of experiments that a node ID
    does not name: those of a game day.
    """

    root: Path
    workspace: Path
    lines: dict[str, int]
    files: dict[str, Path] = field(default_factory=dict)

    def file(self, node_id: str) -> Path:
        return self.files.get(node_id) or self.root / node_id.partition("::")[0]

    def shown(self, node_id: str) -> str:
        file = self.file(node_id).resolve()
        workspace = self.workspace.resolve()
        return file.relative_to(workspace).as_posix() if file.is_relative_to(workspace) else file.as_posix()


def of_record(record: ExperimentRecord, places: Places) -> list[Annotation]:
    """Return the annotations of an experiment or twin that did not pass; none if it passed.

    Each objective that is BROKEN or INCONCLUSIVE has one. Without such an objective, and for a twin that did not break,
    there is one with the reason, at the experiment's or the twin's name.
    """
    if record.passed:
        return []
    document = _document(places.file(record.id))
    shown = places.shown(record.id)
    found = [] if record.twin or record.cut_short else list(_objectives(record, document, shown, places))
    if found and any(LEVELS[record.standing] == annotation.level for annotation in found):
        return found
    place = ("twins", record.twin) if record.twin else ("metadata", "name")
    line = document.line(place) if document else places.lines.get(record.id)
    verdict = overview.contribution(record)
    title = f"{verdict}: {overview.item_name(record)}"
    message = overview.outcome(record) or overview.reason(record)
    return [Annotation(LEVELS.get(verdict, Level.WARNING), title, message, shown, line), *found]


def of_skip(skip: SkipRecord, places: Places) -> Annotation:
    """Return the notice of a skipped experiment, twin or Python test."""
    document = _document(places.file(skip.id))
    place = ("twins", skip.twin) if skip.twin else ("metadata", "name")
    line = document.line(place) if document else places.lines.get(skip.id)
    return Annotation(Level.NOTICE, f"skipped: {skip.name}", skip.reason, places.shown(skip.id), line)


def _objectives(
    record: ExperimentRecord, document: Document | None, shown: str, places: Places
) -> Iterator[Annotation]:
    for index, objective in enumerate(record.objectives):
        if objective.verdict in LEVELS:
            title = f"{objective.verdict}: {overview.item_name(record)}: {objective.title}"
            line = _line(document, index, objective) if document else places.lines.get(record.id)
            yield Annotation(LEVELS[objective.verdict], title, objective.reason, shown, line)


def _line(document: Document, index: int, objective: ObjectiveRecord) -> int | None:
    """Return the line of an objective in the experiment file.

    A series has one finding for each title, so that its order may differ from that of the file: then it is the first
    objective of this kind.
    """
    entries = document.data.get("objectives") if isinstance(document.data, dict) else None
    entries = entries if isinstance(entries, list) else []
    kinds = [next(iter(entry), "") if isinstance(entry, dict) else "" for entry in entries]
    if index < len(kinds) and kinds[index] == objective.kind:
        return document.line(("objectives", index))
    place = ("objectives", kinds.index(objective.kind)) if objective.kind in kinds else ("objectives",)
    return document.line(place)


def _document(file: Path) -> Document | None:
    """Return the experiment file; None for a Python test, and for a file that changed since and is unreadable now."""
    if file.suffix not in SUFFIXES:
        return None
    try:
        return load_document(file)
    except InputError:
        return None


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
