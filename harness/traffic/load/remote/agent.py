"""The agent in a pod: starts the load process, passes commands to it, and serves its record file by offset.

It runs as ``python -m harness.traffic.load.remote.agent`` and listens on the pod's loopback address only. It ends the
process and itself when the harness is gone (no request for ``ABANDONED`` seconds), and on SIGTERM.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import FrameType

from harness.traffic.load.command import clean_environment, locust_command
from harness.traffic.load.plan import Settings
from harness.traffic.load.remote.messages import AGENT_PORT, Header, encode
from harness.traffic.process import Child

# A lost connection to the API server often lasts half a minute, for example while a control plane restarts.
ABANDONED = 90.0
BLOCK = 512 * 1024
OUTPUT = 4096
Starter = Callable[[Settings, Path, Mapping[str, str]], Child]


def start_process(settings: Settings, folder: Path, environ: Mapping[str, str]) -> Child:
    """Start the load process with its files in ``folder``. Raises HarnessError."""
    settings_file = folder / "settings.json"
    settings_file.write_text(settings.model_dump_json(), encoding="utf-8")
    command = locust_command(settings_file, folder / "records.jsonl", settings)
    return Child.start("the load process", command, folder / "output.log", clean_environment(environ))


class Agent:
    """The state of an agent. ``answer`` may be called from several threads."""

    def __init__(self, folder: Path, start: Starter = start_process, now: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._start_process = start
        self._now = now
        self._lock = threading.Lock()
        self._process: Child | None = None
        self._last_command = 0
        self._ending = False
        self.last_request = now()
        self.left = threading.Event()

    @property
    def records(self) -> Path:
        """The record file."""
        return self._folder / "records.jsonl"

    def answer(self, request: Header) -> tuple[Header, bytes]:
        """Return the answer to a request, with its data; one with ``error`` for a request that it cannot do."""
        self.last_request = self._now()
        actions = {
            "clock": lambda _: (self._clock(), b""),
            "start": self._start,
            "command": self._command,
            "read": self._read,
            "check": lambda _: (self._check(), b""),
            "output": lambda _: ({}, self._output()),
            "leave": self._leave,
        }
        try:
            return actions[str(request.get("do"))](request)
        except Exception as error:  # noqa: BLE001 - the harness reports any error of a request
            return {"error": f"{type(error).__name__}: {error}"}, b""

    def stop(self) -> None:
        """Kill the process; no-op if there is none.

        Killed, so that its record has no end: a regular one would say that the process was stopped in order.
        """
        with self._lock:
            self._ending = True
            if self._process and self._process.exit_code() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.end(0.0)

    def _clock(self) -> Header:
        return {"monotonic": self._now(), **kernel()}

    def _start(self, request: Header) -> tuple[Header, bytes]:
        with self._lock:
            if self._process is None:
                settings = Settings.model_validate(request["settings"])
                # In a separate folder: the process finds modules in its working folder, where a behaviour that is
                # called http.py would replace the module of the standard library.
                files = self._folder / "files"
                files.mkdir(exist_ok=True)
                for name, text in request["files"].items():
                    # Only a name: the request must not write outside of the folder.
                    (files / PurePosixPath(name).name).write_text(text, encoding="utf-8")
                self.records.write_bytes(b"")
                self._process = self._start_process(
                    settings.moved(files),
                    self._folder,
                    {**os.environ, **request["environ"]},
                )
        return {}, b""

    def _command(self, request: Header) -> tuple[Header, bytes]:
        with self._lock:
            # A repeated command was received already, but its answer was lost.
            if request["number"] > self._last_command and self._process:
                self._process.progress(str(request["line"]).encode())
                self._last_command = request["number"]
        return {}, b""

    def _read(self, request: Header) -> tuple[Header, bytes]:
        # The exit code first: if the process has ended, the file is complete when it is read. None if the agent itself
        # ended it: then the pod is being deleted, which is the reason to report.
        code = self._process.exit_code() if self._process and not self._ending else None
        with self.records.open("rb") as stream:
            stream.seek(request["from"])
            data = stream.read(BLOCK)
            more = bool(stream.read(1))
        return {"exit": None if more else code}, data

    def _check(self) -> Header:
        with self.records.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return {"total": stream.tell(), "sha256": digest}

    def _output(self) -> bytes:
        file = self._folder / "output.log"
        return file.read_bytes()[-OUTPUT:] if file.exists() else b""

    def _leave(self, _: Header) -> tuple[Header, bytes]:
        self.left.set()
        return {}, b""


def kernel() -> Header:
    """Return what identifies a CLOCK_MONOTONIC: the boot of the kernel, and the time namespace of this process."""

    def content(read: Callable[[], str]) -> str:
        try:
            return read().strip()
        except OSError:
            return ""

    boot = content(lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    return {"boot": boot, "time_namespace": content(lambda: str(Path("/proc/self/ns/time").readlink()))}


class _Handler(socketserver.StreamRequestHandler):
    agent: Agent

    def handle(self) -> None:
        for line in self.rfile:
            header, data = self.agent.answer(json.loads(line))
            self.wfile.write(encode(header, data))
            self.wfile.flush()


class Server(socketserver.ThreadingTCPServer):
    """The server of one agent."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, agent: Agent, port: int = AGENT_PORT) -> None:
        super().__init__(("127.0.0.1", port), type("Handler", (_Handler,), {"agent": agent}))


def main() -> int:
    """Serve until the harness lets the agent go. Return the exit code: 0 after ``leave``, else 1."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/work")
    agent = Agent(folder)

    def terminated(_number: int, _frame: FrameType | None) -> None:
        sys.exit(143)

    # Process 1 of a pod ignores signals that it has no handler for.
    signal.signal(signal.SIGTERM, terminated)
    with Server(agent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            while not agent.left.wait(1.0):
                if time.monotonic() - agent.last_request > ABANDONED:
                    print(f"no request from the harness for {ABANDONED:g} s: exiting", file=sys.stderr)
                    return 1
        finally:
            agent.stop()
            server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
