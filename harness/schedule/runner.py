"""The program in the pod of a scheduled run: checks the storage, takes the lock, fetches what earlier runs stored, runs
pytest, and keeps the reports.

::

    python -m harness.schedule.runner --schedule=NAME [--source=FOLDER] (--results=FOLDER | --bucket=… …) -- PYTEST…

Exit codes are those of pytest; 2: refused before the run; 5: every experiment was skipped; 9: pytest passed, but a
report could not be stored.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from harness.cluster.kube.client import KubeApi
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError
from harness.results.reporting.store import RESULTS
from harness.safety.leases.lease import LeaseKeeper
from harness.schedule.earlier import restore
from harness.schedule.lock import scheduled_run
from harness.schedule.naming import KEY_VARIABLE, PROJECT, SECRET_VARIABLE, WORK
from harness.schedule.outcome import Outcome, outcome_of, runs_in
from harness.schedule.storage import S3, Copier, Folder, Storage, explain, require

# 5 is pytest's own code for a session without tests.
REFUSED, NOTHING_RAN, NOT_STORED = 2, 5, 9
TERMINATION = Path("/dev/termination-log")
BEGIN, END = "-----BEGIN RESILIENCE RESULTS-----", "-----END RESILIENCE RESULTS-----"
# Starts a command in a folder.
Start = Callable[[Sequence[str], Path], subprocess.Popen[bytes]]
_COPY_EVERY = 15.0
_LINE = 120


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of the pod. ``source`` is copied to ``project``; None if the project is there already."""

    source: Path | None
    project: Path
    reports: Path
    termination: Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    at = words.index("--") if "--" in words else len(words)
    options = _parser().parse_args(words[:at])
    places = Places(options.source, Path(PROJECT), Path(WORK) / "reports", TERMINATION)
    clock = SystemClock()

    def lock() -> AbstractContextManager[LeaseKeeper]:
        return scheduled_run(KubeApi.in_cluster(), options.schedule, socket.gethostname(), clock)

    return run(places, storage_of(options), words[at + 1 :], lock)


def run(
    places: Places,
    storage: Storage,
    pytest: Sequence[str],
    lock: Callable[[], AbstractContextManager[object]],
    start: Start | None = None,
) -> int:
    """Run pytest with these arguments and return the exit code."""
    try:
        require(storage)
        _say(f"reports go to {storage}")
        if places.source:
            copy_project(places.source, places.project)
        with lock():
            earlier = _restore(storage, places.reports)
            code, copier = _attend(places, storage, pytest, start or _start)
    except HarnessError as error:
        _say(str(error))
        _write(places.termination, Outcome(state="refused", exit_code=REFUSED, reason=str(error)))
        return REFUSED
    failures = copier.copy()
    stored = "" if failures else str(storage)
    outcome = outcome_of(places.reports, code, stored, earlier)
    if outcome.state == "failed" and not code:
        # All experiments were skipped: to pytest that is a success.
        code = NOTHING_RAN
        outcome = outcome.model_copy(update={"exit_code": code})
    if failures:
        _report_in_log(places.reports, earlier, failures, storage)
        code = code or NOT_STORED
        outcome = outcome.model_copy(
            update={"exit_code": code, "reason": f"the report is in the log only: {failures[0]}"}
        )
    else:
        _say(f"{len(copier.copied)} files stored in {storage}")
    _write(places.termination, outcome)
    return code


def storage_of(options: argparse.Namespace) -> Storage:
    """Return the storage that the options name; its credentials come from the environment."""
    if options.results:
        return Folder(options.results)
    key, secret = os.environ.get(KEY_VARIABLE, ""), os.environ.get(SECRET_VARIABLE, "")
    return S3(options.endpoint, options.bucket, options.prefix, options.region, key, secret)


def copy_project(source: Path, project: Path) -> None:
    """Copy the project: a ConfigMap is read-only and full of links, which a search for files would follow twice."""

    def hidden(_folder: str, names: list[str]) -> list[str]:
        # Kubernetes' own folders in a ConfigMap's volume.
        return [name for name in names if name.startswith("..")]

    shutil.copytree(source, project, ignore=hidden, dirs_exist_ok=True)


def _attend(
    places: Places,
    storage: Storage,
    pytest: Sequence[str],
    start: Start,
) -> tuple[int, Copier]:
    """Run pytest to its end, and copy its reports meanwhile. A signal to stop is passed on to it."""
    # Unbuffered, so that the log shows what happens now. No cache: it is of no use to the next pod.
    command = [
        sys.executable,
        "-u",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"--report-dir={places.reports}",
        *pytest,
    ]
    _say(f"in {places.project}: {' '.join(command)}")
    copier = Copier(places.reports, storage)
    copier.skip_present()
    process = start(command, places.project)

    def stop(_number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    reported = False
    try:
        while True:
            try:
                code = process.wait(_COPY_EVERY)
                break
            except subprocess.TimeoutExpired:
                failures = copier.copy()
                if failures and not reported:
                    _say(f"not stored yet: {failures[0]}")
                reported = bool(failures)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # As shells report a process that a signal ended.
    return (code if code >= 0 else 128 - code), copier


def _start(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=folder)


def _restore(storage: Storage, reports: Path) -> Collection[str]:
    """Fetch what earlier runs stored, and return their names."""
    try:
        restore(storage, reports)
    except OSError as error:
        # The credentials of a bucket may allow only writing.
        _say(f"earlier results could not be read, so a game day starts anew: {explain(error)}")
    return {folder.name for folder in runs_in(reports)}


def _report_in_log(reports: Path, earlier: Collection[str], failures: Sequence[str], storage: Storage) -> None:
    """Print the results, so that they are not lost: ``harness schedule logs --results`` reads them from the log."""
    _say(f"THE REPORT COULD NOT BE STORED in {storage}; its results follow here")
    for failure in failures[:10]:
        _say(f"  {failure}")
    for file in (folder / RESULTS for folder in runs_in(reports, earlier) if (folder / RESULTS).exists()):
        text = base64.b64encode(gzip.compress(file.read_bytes(), mtime=0)).decode()
        print(BEGIN, file.parent.name)
        for at in range(0, len(text), _LINE):
            print(text[at : at + _LINE])
        print(END, flush=True)


def results_in_log(log: str) -> dict[str, bytes]:
    """Return the content of each results.json in a log by its run. Raises ValueError for a damaged one."""
    found: dict[str, bytes] = {}
    run, lines = "", list[str]()
    for line in log.splitlines():
        if line.startswith(BEGIN):
            run, lines = line.removeprefix(BEGIN).strip(), []
        elif line.startswith(END) and run:
            found[run] = gzip.decompress(base64.b64decode("".join(lines), validate=True))
            run = ""
        elif run:
            lines.append(line.strip())
    return found


def _write(file: Path, outcome: Outcome) -> None:
    # Outside of Kubernetes there is no such file.
    with suppress(OSError):
        file.write_text(outcome.message(), encoding="utf-8")


def _say(message: str) -> None:
    print(f"schedule: {message}", flush=True)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="harness.schedule.runner", description=__doc__)
    made.add_argument("--schedule", required=True)
    made.add_argument("--source", type=Path)
    made.add_argument("--results", type=Path)
    for name in ("endpoint", "bucket", "prefix", "region"):
        made.add_argument(f"--{name}", default="")
    return made


if __name__ == "__main__":
    sys.exit(main())
