"""Processes that measure beside the harness: how they are started, listened to, and ended for sure.

Each has a session of its own, so that Ctrl-C in the terminal reaches the harness alone, which then stops everything in
order; and ends by itself when the harness is gone, since its standard input closes then. What it measured it appends to
a file: see ``growing_record``.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import harness
from harness.errors import HarnessError

TERM_GRACE = 3.0
LAST_LINES = 12


class Child:
    """A running process, and the file that its output goes to."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @classmethod
    def start(cls, what: str, command: Sequence[str], output: Path, environ: Mapping[str, str] = os.environ) -> Child:
        """Start it beside its output, where it finds this harness's own modules. Raises HarnessError."""
        root = str(Path(harness.__file__).resolve().parents[1])
        path = os.pathsep.join(part for part in (root, environ.get("PYTHONPATH")) if part)
        with output.open("wb") as stream:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    cwd=output.parent,
                    env={**environ, "PYTHONPATH": path},
                    start_new_session=True,
                )
            except OSError as error:
                raise HarnessError(f"{what} cannot be started: {error}") from error
        return cls(process, output)

    @property
    def pid(self) -> int:
        """The process; with a command in front of it, that command, and always the leader of its own group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return self._process.poll()

    def say(self, line: bytes) -> None:
        """Write to its standard input. One that died tells why by its output."""
        stdin = self._process.stdin
        if stdin and not stdin.closed:
            with suppress(BrokenPipeError):
                stdin.write(line)
                stdin.flush()

    def end(self, grace: float, farewell: bytes = b"") -> None:
        """Ask it to end, by ``farewell`` or by closing its input, wait so many seconds, then TERM, then KILL; all
        bounded. May be called again."""
        if farewell:
            self.say(farewell)
        else:
            self._close_input()
        self._wait_for_end(grace)
        self._close_input()

    def _close_input(self) -> None:
        stdin = self._process.stdin
        if stdin and not stdin.closed:
            with suppress(BrokenPipeError):
                stdin.close()

    def _wait_for_end(self, grace: float) -> None:
        for seconds, next_signal in ((grace, signal.SIGTERM), (TERM_GRACE, signal.SIGKILL), (TERM_GRACE, None)):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=seconds)
                return
            if next_signal is not None:
                # The group, because the process may stand behind a command that does not pass signals on.
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, next_signal)

    def with_last_words(self, what: str) -> str:
        """``what`` with the last lines of its output beneath."""
        text = self._output.read_text(encoding="utf-8", errors="replace")
        said = [line for line in text.splitlines() if line.strip()][-LAST_LINES:]
        return "\n".join([what, *(f"  | {line}" for line in said)])
