"""The harness's side of one load process on another machine: copies its record file and passes commands to it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.common.clock import Clock
from harness.common.errors import Inconclusive
from harness.traffic.load.plan import Settings
from harness.traffic.load.remote.clock import ClockOffset, measure_offset
from harness.traffic.load.remote.messages import AgentFailed, Exchange, Header, Stream

READ_EVERY = 0.1
# Between two attempts to connect again.
AGAIN = 0.3
CALL_SECONDS = 5.0
# How long a command is repeated over new connections, and how long the rest of the records is waited for at the end.
COMMAND_SECONDS = 8.0
REST_SECONDS = 60.0
_Answer = TypeVar("_Answer")


@dataclass
class Transfer:
    """What it took to copy the records: connections made and bytes copied."""

    connections: int = 0
    bytes: int = 0


class RemoteWorker:
    """One load process behind an agent, as ``harness.traffic.load.driver.WorkerProcess``.

    ``dial`` makes a new connection to the agent and raises OSError; its argument is whether the thread that follows the
    records calls it, or the caller's own. ``gone`` returns why the agent can never be reached again, such as a deleted
    pod, or None; the following thread calls it.
    """

    def __init__(
        self, name: str, dial: Callable[[bool], Stream], gone: Callable[[], str | None], records: Path, clock: Clock
    ) -> None:
        self.name = name
        self.offset = ClockOffset(0.0, 0.0)
        self.drift = 0.0
        self.transfer = Transfer()
        self._dial, self._gone, self._records, self._clock = dial, gone, records, clock
        self._exchange: Exchange | None = None
        self._number = 0
        self._code: int | None = None
        self._lost: str | None = None
        self._ended = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"load-{name}", daemon=True)

    def start(self, settings: Settings, files: Mapping[str, str], environ: Mapping[str, str], seconds: float) -> None:
        """Measure the agent's clock and start its process, within ``seconds``; then follow its records.

        Raises Inconclusive if the agent cannot be reached or cannot start the process.
        """
        self._records.write_bytes(b"")
        until = self._clock.monotonic() + seconds
        self.offset = self._until(until, lambda one: measure_offset(one, self._clock.monotonic, CALL_SECONDS))
        sent = settings.model_copy(update={"clock_offset": self.offset.seconds}).model_dump(mode="json")
        request: Header = {"do": "start", "settings": sent, "files": dict(files), "environ": dict(environ)}
        self._until(until, lambda one: one.call(request, CALL_SECONDS))
        self._thread.start()

    def lost(self) -> str | None:
        """Return why the records are incomplete or the process cannot be controlled, or None."""
        return self._lost

    def exit_code(self) -> int | None:
        """Return the exit code of the process, once all of its records are here."""
        return self._code

    def refresh(self) -> None:
        """Connect again now if the connection for commands was lost, so that the next command arrives soon."""
        # An agent that does not answer is reported when the command is sent.
        with suppress(Inconclusive):
            if self._lost is None and self._code is None:
                until = self._clock.monotonic() + COMMAND_SECONDS
                self._until(until, lambda one: one.call({"do": "clock"}, CALL_SECONDS))

    def progress(self, line: bytes) -> None:
        """Send a command line; over new connections if needed, for up to ``COMMAND_SECONDS``."""
        if self._lost or self._code is not None:
            return
        self._number += 1
        request: Header = {"do": "command", "number": self._number, "line": line.decode()}
        try:
            self._until(self._clock.monotonic() + COMMAND_SECONDS, lambda one: one.call(request, CALL_SECONDS))
        except Inconclusive as error:
            self._lost = self._lost or f"a command did not reach it: {error}"

    def end(self, grace: float, farewell: bytes = b"") -> None:
        """Wait up to ``grace`` seconds and some time for the rest of the records, check them, and let the agent go.

        May be called again.
        """
        if farewell:
            self.progress(farewell)
        if self._ended:
            return
        self._ended = True
        if self._thread.is_alive():
            self._thread.join(grace + REST_SECONDS)
        self._stopping.set()
        # Asked here, where the following thread has ended: a pod that is gone would be dialled until the time is over.
        if self._lost is None and not self._thread.is_alive():
            self._lost = self._gone()
        if self._lost is None and self._code is None:
            self._lost = f"its records did not end within {grace + REST_SECONDS:g} s of the stop"
        until = self._clock.monotonic() + COMMAND_SECONDS
        try:
            if self._lost is None:
                self._check(until)
                # Without an answer, the namespace's deletion ends the agent.
                with suppress(Inconclusive):
                    self._until(until, lambda one: one.call({"do": "leave"}, CALL_SECONDS))
        finally:
            self._disconnect()

    def abandon(self) -> None:
        """Let the agent go without its records."""
        self._stopping.set()
        if not self._ended:
            self._ended = True
            try:
                with suppress(Inconclusive):
                    self._until(self._clock.monotonic(), lambda one: one.call({"do": "leave"}, CALL_SECONDS))
            finally:
                self._disconnect()

    def with_last_output(self, message: str) -> str:
        """Return ``message`` followed by the last lines of the process's output."""
        with suppress(Inconclusive):
            _, output = self._until(self._clock.monotonic(), lambda one: one.call({"do": "output"}, CALL_SECONDS))
            lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()][-12:]
            return "\n".join([message, *(f"  | {line}" for line in lines)])
        return message

    def _check(self, until: float) -> None:
        """Compare size and checksum of the copy with the agent's file, and its clock with that at the start."""
        try:
            answer, _ = self._until(until, lambda one: one.call({"do": "check"}, CALL_SECONDS))
            with self._records.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                size = stream.tell()
            if (size, digest) != (answer["total"], answer["sha256"]):
                self._lost = f"its records are incomplete: found {size} bytes, expected {answer['total']} bytes"
            now = self._until(until, lambda one: measure_offset(one, self._clock.monotonic, CALL_SECONDS))
            self.drift = abs(now.seconds - self.offset.seconds)
        except Inconclusive as error:
            self._lost = f"its records could not be checked: {error}"

    def _until(self, until: float, call: Callable[[Exchange], _Answer]) -> _Answer:
        """Return what ``call`` returns, repeated over new connections until a time. Raises Inconclusive."""
        while True:
            kept = self._exchange is not None
            try:
                if self._exchange is None:
                    self._exchange = Exchange(self._dial(False))
                return call(self._exchange)
            except AgentFailed as error:
                raise Inconclusive(f"load: {self.name}: {error}") from error
            except OSError as error:
                self._disconnect()
                if self._lost or self._clock.monotonic() >= until:
                    raise Inconclusive(f"load: {self.name} does not answer: {self._lost or error}") from error
                # A connection that was kept may have been lost long ago, so a new one is tried at once.
                self._clock.sleep(0.0 if kept else AGAIN)

    def _disconnect(self) -> None:
        if self._exchange is not None:
            self._exchange.close()
        self._exchange = None

    def _follow(self) -> None:
        """Append to the copy what the agent's file has after it, until the process has ended and the copy is whole."""
        while not self._stopping.is_set() and self._lost is None:
            try:
                stream = self._dial(True)
            except OSError:
                self._lost = self._gone()
                self._stopping.wait(AGAIN)
                continue
            self.transfer.connections += 1
            try:
                if self._copy(Exchange(stream)):
                    return
            except OSError:
                self._lost = self._gone()
            except AgentFailed as error:
                self._lost = str(error)
            finally:
                stream.close()

    def _copy(self, exchange: Exchange) -> bool:
        with self._records.open("ab") as copy:
            while not self._stopping.is_set():
                answer, data = exchange.call({"do": "read", "from": copy.tell()}, CALL_SECONDS)
                copy.write(data)
                copy.flush()
                self.transfer.bytes += len(data)
                if answer["exit"] is not None:
                    self._code = int(answer["exit"])
                    return True
                if not data:
                    self._stopping.wait(READ_EVERY)
        return False
