"""Compose a new experiment: read the workload, draft the parts, and check the text as `harness validate` does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.common.errors import InputError
from harness.common.project import Project
from harness.experiment.loading import load_experiment
from harness.experiment.manifests import Workload
from harness.experiment.scaffold.draft import Draft
from harness.experiment.scaffold.subject import Subject
from harness.experiment.scaffold.text import Frame, flow, write
from harness.experiment.sources import Sources

# What an experiment may have to permit, from the least: the first that the checks accept is written.
PERMISSIONS: tuple[Mapping[str, Any], ...] = (
    {},
    {"lastReplica": "allowed"},
    {"budgets": "ignored"},
    {"lastReplica": "allowed", "budgets": "ignored"},
    {"unknownController": "allowed"},
    {"lastReplica": "allowed", "budgets": "ignored", "unknownController": "allowed"},
)
# Loads a workload without any other part of an experiment that could be wrong.
_READER = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {{name: {name}}}
hypothesis: Reads the workload of a new experiment.
workload: {source}
disruptive: true
objectives:
  - invariant: {{of: nodes, ready: ">= 1"}}
"""


@dataclass(frozen=True, slots=True)
class Composer:
    """Composes files for one folder, since the paths in an experiment are relative to its file.

    ``live`` is a workload that was read from a cluster, which the file alone does not have. ``name`` is that of the
    experiment, and by default of a chart's release.
    """

    folder: Path
    project: Project
    live: Workload | None = None
    name: str = "workload"

    def workload(self, source: Any) -> Workload:  # noqa: ANN401 - text or an object
        """Read a workload as an experiment in the folder would. Raises InputError with all problems."""
        if self.live is not None:
            return self.live
        with self.written(_READER.format(source=flow(source), name=self.name)) as file:
            return load_experiment(file, Sources.for_file(file, self.project)).workload

    def text(self, frame: Frame, subject: Subject, draft: Draft) -> str:
        """Return the text of an experiment that passes all checks, with the fewest permissions. Raises InputError."""
        refused: InputError | None = None
        for safety in PERMISSIONS:
            for twin in PERMISSIONS if draft.twin else ({},):
                own = {**draft.safety, **safety}
                of_twin = {**draft.twin.safety, **twin} if draft.twin else {}
                text = write(frame, subject, draft, own, of_twin if of_twin != own else {})
                try:
                    self.check(text)
                except InputError as error:
                    # The problems of the first attempt say what is wrong; those of the others are about permissions.
                    refused = refused or error
                    if not any("the guard refuses" in problem.message for problem in error.problems):
                        raise
                    if any(problem.field.startswith("faults") for problem in error.problems):
                        # Refused for the experiment itself: what its twin permits changes nothing.
                        break
                else:
                    return text
        assert refused is not None
        raise refused

    def check(self, text: str) -> None:
        """Load an experiment with this text. Raises InputError with all problems."""
        with self.written(text) as file:
            experiment = load_experiment(file, Sources.for_file(file, self.project))
            problems = experiment.live.check(self.live) if experiment.live and self.live else []
            if problems:
                raise InputError(problems)

    @contextmanager
    def written(self, text: str) -> Iterator[Path]:
        """Yield a file with this text, which exists only as long as the context."""
        # In the folder of the experiment, since paths are relative to it; hidden, and removed in every case.
        handle, name = tempfile.mkstemp(".yaml", ".new-", self.folder)
        file = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            yield file
        except InputError as error:
            # The file is gone when the user reads this, so only the field says where the problem is.
            raise InputError(
                [replace(each, file=None, line=None) if each.file == file else each for each in error.problems]
            ) from error
        finally:
            file.unlink(missing_ok=True)
