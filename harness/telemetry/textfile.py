"""``--metrics-textfile``: a file for the textfile collector of node_exporter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from harness.common.errors import HarnessError
from harness.results.reporting.store import write_atomically
from harness.telemetry.exposition import exposed, merged, parsed
from harness.telemetry.metrics import Sample

LOCK_SECONDS = 10.0


def write_textfile(file: Path, samples: Sequence[Sample]) -> None:
    """Merge the values into the file, atomically. Raises OSError, and HarnessError if the file is not ours."""
    # Two runs that end together must not lose the values of one. The collector reads files named *.prom alone.
    lock = FileLock(file.parent / f".{file.name}.lock", timeout=LOCK_SECONDS)
    try:
        with lock:
            before = _read(file)
            write_atomically(file, exposed(merged(before, samples)))
    except Timeout as error:
        raise HarnessError(f"{file}: another run holds {lock.lock_file} for over {LOCK_SECONDS:g} s") from error


def _read(file: Path) -> list[Sample]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise HarnessError(f"{file}: not a text, so it was not replaced") from error
    try:
        found, others = parsed(text)
    except HarnessError as error:
        raise HarnessError(f"{file}: {error}; it was not replaced") from error
    if others:
        raise HarnessError(f"{file}: found metrics of another program ({others[0]}), expected a file of our own")
    return found
