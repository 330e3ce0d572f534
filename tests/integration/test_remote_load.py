"""Load processes behind agents, over TCP on loopback: cut connections, and a process that dies. No cluster."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import harness
from harness.cluster.local import runner_image
from harness.common.clock import SystemClock
from harness.common.waiting import wait_until
from harness.traffic.load.driver import RunningLoad, Worker, records_file, worker_name
from harness.traffic.load.reader import RecordReader
from harness.traffic.load.remote.agent import Agent, Server
from harness.traffic.load.remote.messages import Stream
from harness.traffic.load.remote.worker import RemoteWorker
from harness.traffic.load.replay.declaration import Replay
from tests.integration.target_server import Target, serving
from tests.integration.test_load import plan

CLOCK = SystemClock()
PATIENCE = 60.0
LEAD = 0.5


@pytest.fixture
def target() -> Iterator[Target]:
    with serving() as target:
        yield target


class Tcp:
    """A Stream over a socket."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 5.0)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, timeout: float) -> bytes:
        self.socket.settimeout(timeout)
        return self.socket.recv(65536)

    def close(self) -> None:
        self.socket.close()


@dataclass
class Remote:
    """Agents in this process, and the connections to them."""

    folder: Path
    agents: list[Agent] = field(default_factory=list)
    connections: list[Tcp] = field(default_factory=list)
    refusing: bool = False

    def worker(self, number: int, name: str, records: Path) -> RemoteWorker:
        folder = self.folder / f"agent-{number}"
        folder.mkdir()
        agent = Agent(folder)
        server = Server(agent, port=0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.agents.append(agent)

        def dial(_following: bool) -> Stream:
            if self.refusing:
                raise ConnectionRefusedError("refused by the test")
            made = Tcp(server.server_address[1])
            self.connections.append(made)
            return made

        return RemoteWorker(name, dial, lambda: None, records, CLOCK)

    def cut(self) -> None:
        """Break every connection in the middle of whatever is under way."""
        for connection in self.connections:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self.connections.clear()


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    made = Remote(tmp_path)
    yield made
    for agent in made.agents:
        agent.stop()


def started(
    remote: Remote, target: Target, folder: Path, workers: int, *, rate: float = 200.0, replay: Replay | None = None
) -> RunningLoad:
    settings = plan(target, rate=rate, workers=workers, replay=replay).settings()
    folder.mkdir()
    found = []
    for number in range(workers):
        own = settings.model_copy(update={"worker": number})
        records = records_file(folder, f"-{number + 1}")
        worker = remote.worker(number, worker_name(own), records)
        worker.start(own, settings.files(), {}, PATIENCE)
        found.append(Worker(worker, RecordReader(records), worker.name, lost=worker.lost, refresh=worker.refresh))
    return RunningLoad(found, settings, folder, CLOCK, LEAD)


def until(what: str, look: Callable[[], bool]) -> None:
    wait_until(what, lambda: (look() or None, "not yet"), PATIENCE, CLOCK, every=0.02)


def test_cut_connections_lose_no_request(remote: Remote, target: Target, tmp_path: Path) -> None:
    with started(remote, target, tmp_path / "load", workers=2) as load:
        load.wait_ready(PATIENCE)
        origin = CLOCK.monotonic()
        load.phase("baseline", origin)
        for seen in range(100, 700, 100):
            until(f"{seen} requests", lambda seen=seen: len(load.requests(origin)) >= seen)
            remote.cut()
        remote.refusing = True
        CLOCK.sleep(1.0)
        remote.refusing = False
        summary = load.stop()
        requests = load.requests(origin)
    assert (summary.error, summary.dropped, summary.failed) == ("", 0, 0)
    assert len(requests) == summary.offered >= 600
    intended = sorted(request.intended for request in requests)
    assert intended == pytest.approx([intended[0] + number / 200 for number in range(len(intended))], abs=1e-5)


def test_killed_process_behind_an_agent_ends_the_load(remote: Remote, target: Target, tmp_path: Path) -> None:
    with started(remote, target, tmp_path / "load", workers=2) as load:
        load.wait_ready(PATIENCE)
        load.phase("baseline", CLOCK.monotonic())
        until("some requests", lambda: len(load.requests(0.0)) > 50)
        process = remote.agents[1]._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        until("the loss", lambda: load.failure() is not None)
        assert "worker 2 of 2 ended with exit code -9" in load.stop().error


def test_a_recording_is_replayed_behind_agents(remote: Remote, target: Target, tmp_path: Path) -> None:
    line = '10.0.0.7 - - [10/Oct/2025:13:55:01 +0200] "GET /{} HTTP/1.1" 200 5\n'
    log = tmp_path / "access.log"
    log.write_text("".join(line.format(letter) for letter in "abcdefghij"))
    with started(remote, target, tmp_path / "load", workers=2, replay=Replay(file=str(log))) as load:
        # What the agents received is all that they need.
        log.unlink()
        load.wait_ready(PATIENCE)
        origin = CLOCK.monotonic()
        load.phase("baseline", origin)
        until("two rounds", lambda: len(load.requests(origin)) >= 20)
        summary = load.stop()
        requests = sorted(load.requests(origin), key=lambda request: request.intended)
    assert (summary.error, summary.failed) == ("", 0)
    assert "".join(request.name[-1] for request in requests[:20]) == "abcdefghij" * 2


def test_image_has_every_package_that_the_load_imports() -> None:
    modules = "harness.traffic.load.remote.agent, harness.traffic.load.generator.locustfile"
    code = f"import sys, {modules}; print(*{{name.split('.')[0] for name in sys.modules}})"
    root = Path(harness.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root)
    known = importlib.metadata.packages_distributions()
    imported = {name for module in done.stdout.split() for name in known.get(module, [])}
    # Imported if they happen to be installed; setuptools is by its .pth file.
    imported -= {"setuptools", "chardet", "PySocks", "resilience-harness"}
    assert imported - {one.metadata["Name"] for one in runner_image.distributions()} == set()
