"""Find the experiment files that use a field, in the project and in the catalogue that is shipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.common.documents import load_document
from harness.common.errors import InputError
from harness.common.project import Project
from harness.common.shipped import shipped
from harness.experiment.files import experiment_files
from harness.experiment.schema_fields import ANY_NAME


def experiments_with(steps: Sequence[str], project: Project) -> list[Path]:
    """Return the experiment files that set the field at a place, such as ``faults``, ``podKill``, ``count``.

    Files that cannot be read are skipped: `harness validate` reports them.
    """
    folders = dict.fromkeys(folder / "experiments" for folder in (*project.folders, shipped("experiments").parent))
    files = dict.fromkeys(file for folder in folders if folder.is_dir() for file in experiment_files(folder))
    return [file for file in files if _is_set(file, steps)]


def _is_set(file: Path, steps: Sequence[str]) -> bool:
    # A file without the word cannot have the key, and searching for it is much faster than parsing.
    word = next((step for step in reversed(steps) if step != ANY_NAME), "").encode()
    try:
        if word not in file.read_bytes():
            return False
        return any(True for _ in _values(load_document(file).data, steps))
    except (InputError, OSError):
        return False


def _values(data: object, steps: Sequence[str]) -> Iterator[object]:
    if isinstance(data, list):
        for item in data:
            yield from _values(item, steps)
    elif not steps:
        yield data
    elif isinstance(data, dict):
        for key, value in data.items():
            if steps[0] in (ANY_NAME, key):
                yield from _values(value, steps[1:])
