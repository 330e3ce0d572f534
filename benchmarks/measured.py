"""A process under measurement: what it says, and what it costs with all that it starts."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY = "ready"
SAMPLE_EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of the process and its children, the sum of their greatest resident sizes, how long it took to begin,
    and when it ended, on CLOCK_MONOTONIC."""

    cpu_s: float
    peak_mb: float
    start_s: float
    ended: float


class Measured:
    """A running program that says ``ready`` once and ends with a line of JSON. What it says besides goes to ``log``."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.ready, self._ended = threading.Event(), threading.Event()
        self._last, self._peak_kb = "", 0
        with log.open("ab") as kept:
            self._began = time.monotonic()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=kept,
                text=True,
                start_new_session=True,
            )
        self.cost = Cost(0.0, 0.0, 0.0, 0.0)
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def answer(self) -> dict[str, Any]:
        """The last line; empty when it was none."""
        try:
            found = json.loads(self._last)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def sampled(self, kilobytes: int) -> None:
        """Take note of its memory at some moment."""
        self._peak_kb = max(self._peak_kb, kilobytes)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within so long."""
        return self._ended.wait(seconds)

    def end(self) -> None:
        """Kill it unless it has ended."""
        if self.running:
            self._process.kill()
        self._thread.join()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        start_s = 0.0
        for line in self._process.stdout:
            if line.strip() == READY:
                start_s = time.monotonic() - self._began
                self.ready.set()
            elif line.strip():
                self._last = line
        _, status, used = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.cost = Cost(used.ru_utime + used.ru_stime, self._peak_kb / 1024, start_s, time.monotonic())
        self.ready.set()
        self._ended.set()


class MemorySampler:
    """Looks at the memory of processes and their descendants, again and again while the context lasts.

    Not ru_maxrss: that begins with the memory of whoever started a process.
    """

    def __init__(self, processes: Sequence[Measured]) -> None:
        self._processes, self._stop = processes, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY):
            parents = _parents()
            for process in self._processes:
                if process.running:
                    process.sampled(sum(map(_peak_kb, tree(process.pid, parents))))


def tree(root: int, parents: Mapping[int, int]) -> set[int]:
    """A process and all its descendants, by each process' parent."""
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _parents() -> dict[int, int]:
    return dict(_parents_in(Path("/proc").glob("[0-9]*")))


def _parents_in(folders: Iterable[Path]) -> Iterable[tuple[int, int]]:
    for folder in folders:
        try:
            # The name in parentheses may hold anything; the parent is the second field after it.
            yield (
                int(folder.name),
                int((folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(") ")[2].split()[1]),
            )
        except (OSError, IndexError, ValueError):
            continue


def _peak_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
