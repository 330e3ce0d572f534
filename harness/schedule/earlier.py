"""What earlier runs of a schedule stored, for the next one: the states of game days, and the history of experiments.

The report folder of a pod is new, but a game day continues from its state there, and a choice for a time budget reads
the earlier runs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.gameday.history import MOST_RUNS
from harness.gameday.state import FOLDER
from harness.results.reporting.store import EXPERIMENTS, RESULTS
from harness.schedule.storage import Storage

_STATE = re.compile(rf"{FOLDER}/[^/]+\.json")
_RESULTS = re.compile(rf"([^/.][^/]*)/{re.escape(RESULTS)}")
_RECORD = re.compile(rf"([^/.][^/]*)/{EXPERIMENTS}/[^/]+\.json")


def restore(storage: Storage, reports: Path) -> None:
    """Write to the report folder what a run reads of earlier ones: no evidence and no pages. Raises OSError."""
    for name in _wanted(storage.names()):
        file = reports / name
        file.parent.mkdir(parents=True, exist_ok=True)
        storage.get(name, file)


def _wanted(names: Collection[str]) -> Iterator[str]:
    """Yield the states, then of the newest runs the results, or the records if a run was killed before it had them."""
    yield from (name for name in names if _STATE.fullmatch(name))
    results = {found[1]: name for name in names if (found := _RESULTS.fullmatch(name))}
    records: dict[str, list[str]] = {}
    for name in names:
        if found := _RECORD.fullmatch(name):
            records.setdefault(found[1], []).append(name)
    # The name of a run begins with its time.
    for run in sorted({*results, *records}, reverse=True)[:MOST_RUNS]:
        yield from [results[run]] if run in results else records[run]
