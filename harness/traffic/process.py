"""Child processes that measure: start them, send them commands and end them reliably.

Each runs in a separate session, so that Ctrl-C in the terminal reaches only the harness, which then stops everything in
order. Each exits by itself when the harness is gone, because its standard input closes then. Its measurements are
appended to a file: see ``harness.traffic.tail``.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import harness
from harness.common.errors import HarnessError

TERM_GRACE = 3.0
LAST_LINES = 12


class Child:
    """A running process and its output file."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output
        self._alone = False

    @classmethod
    def start(
        cls,
        what: str,
        command: Sequence[str],
        output: Path,
        environ: Mapping[str, str] = os.environ,
        folder: Path | None = None,
    ) -> Child:
        """Start a process in the folder of its output file, with the harness importable. Raises HarnessError.

        ``what`` names the process in the error message. A user's process has its own ``folder``; its Python
        path stays as it is, since the harness's packages could be of another version than those of its interpreter.
        """
        # The process starts in another folder, where a checkout that is not installed could not be imported.
        root = str(Path(harness.__file__).resolve().parents[1])
        path = os.pathsep.join(part for part in (root, environ.get("PYTHONPATH")) if part)
        ours = {"PYTHONPATH": path} if folder is None else {}
        with output.open("wb") as stream:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    cwd=folder or output.parent,
                    env={**environ, **ours},
                    start_new_session=True,
                )
            except OSError as error:
                raise HarnessError(f"{what} cannot be started: {error}") from error
        return cls(process, output)

    @property
    def pid(self) -> int:
        """The process ID: of the command prefix, if there is one. It is always the leader of its process group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        code = self._process.poll()
        if code is not None:
            self._end_others()
        return code

    def progress(self, line: bytes) -> None:
        """Write a line to the process's standard input. Ignored if the process has exited: its output shows why."""
        stdin = self._process.stdin
        if stdin and not stdin.closed:
            with suppress(BrokenPipeError):
                stdin.write(line)
                stdin.flush()

    def end(self, grace: float, farewell: bytes = b"") -> None:
        """End the process: send ``farewell`` or close its input, wait ``grace`` seconds, then send TERM, then KILL.

        Processes that it has started and left in its group are killed. Every wait has a time limit.
        May be called again.
        """
        if farewell:
            self.progress(farewell)
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
                self._end_others()
                return
            if next_signal is not None:
                # To the group: the process may be the child of a command prefix that does not forward signals.
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, next_signal)

    def _end_others(self) -> None:
        """Kill the rest of the process's group, such as children of a locustfile, which would go on sending.

        Only directly after the process has been waited for: later its number may be that of another group.
        """
        if not self._alone:
            self._alone = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def with_last_output(self, message: str) -> str:
        """Return ``message`` followed by the last lines of the process's output."""
        text = self._output.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.strip()][-LAST_LINES:]
        return "\n".join([message, *(f"  | {line}" for line in lines)])
