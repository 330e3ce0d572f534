"""The harness's side of a remote load process: whatever happens to connections, the copy of the records is whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.common.clock import FakeClock
from harness.common.errors import Inconclusive
from harness.traffic.load.remote.agent import Agent
from harness.traffic.load.remote.clock import ClockOffset, measure_offset
from harness.traffic.load.remote.messages import AgentFailed, Exchange, Stream
from harness.traffic.load.remote.worker import RemoteWorker
from tests.unit.traffic.load.remote.fake_process import FakeProcess
from tests.unit.traffic.load.remote.fake_process import settings as load_settings
from tests.unit.traffic.load.remote.streams import AgentStream

RECORDS = b"".join(b'["request", %d]\n' % number for number in range(2000))


class World:
    """An agent with a process whose records the test writes, and a worker that is connected to it."""

    def __init__(self, folder: Path, cuts: list[int] | None = None) -> None:
        self.process = FakeProcess()
        (folder / "agent").mkdir()
        self.agent = Agent(folder / "agent", self.process.start)
        self.cuts: Iterator[int] = iter(cuts or [])
        self.why: str | None = None
        self.reachable = True
        self.copy = folder / "records.jsonl"
        self.clock = FakeClock()
        self.worker = RemoteWorker("worker 1 of 2", self.dial, lambda: self.why, self.copy, self.clock)

    def dial(self, following: bool) -> Stream:
        if not self.reachable:
            raise ConnectionRefusedError("refused")
        return AgentStream(self.agent, next(self.cuts, float("inf")) if following else float("inf"))

    def start(self) -> None:
        self.worker.start(load_settings(), {load_settings().behaviour_file.name: "source"}, {}, 5.0)

    def finish(self, code: int = 0) -> None:
        self.agent.records.write_bytes(RECORDS)
        self.process.code = code


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 9000), max_size=12))
def test_cuts_at_any_byte_lose_nothing(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    world = World(tmp_path_factory.mktemp("cuts"), cuts)
    # Without pauses between the attempts: they are real time of the following thread.
    world.worker._stopping = _Impatient()  # type: ignore[assignment]
    world.start()
    world.finish()
    world.worker.end(1.0)
    assert world.copy.read_bytes() == RECORDS
    assert (world.worker.lost(), world.worker.exit_code()) == (None, 0)
    assert world.worker.transfer.bytes == len(RECORDS)
    assert world.agent.left.is_set()


class _Impatient(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return super().wait(0.001)


def test_deleted_pod_is_a_lost_worker(tmp_path: Path) -> None:
    world = World(tmp_path, [100])
    world.start()
    world.reachable, world.why = False, "pod load-0 was deleted"
    world.worker._thread.join(10)
    assert world.worker.lost() == "pod load-0 was deleted"
    world.worker.end(0.0)


def test_damaged_copy_is_noticed_at_the_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.finish()
    world.worker._thread.join(10)
    world.copy.write_bytes(RECORDS[:-5])
    world.worker.end(0.0)
    found, expected = len(RECORDS) - 5, len(RECORDS)
    assert world.worker.lost() == f"its records are incomplete: found {found} bytes, expected {expected} bytes"


def test_command_is_repeated_until_it_arrives(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.reachable = False
    world.worker._exchange = None
    sleep = world.clock.sleep

    def later(seconds: float) -> None:
        sleep(seconds)
        world.reachable = True

    world.clock.sleep = later  # type: ignore[method-assign]
    world.worker.progress(b"stop\n")
    assert world.process.lines == [b"stop\n"]
    assert world.worker.lost() is None
    world.worker.abandon()


def test_command_that_never_arrives_makes_the_worker_lost(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.reachable = False
    world.worker._exchange = None
    world.worker.progress(b"stop\n")
    assert "a command did not reach it" in str(world.worker.lost())


def test_agent_that_refuses_to_start_is_inconclusive(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.agent._start_process = _refuse
    with pytest.raises(Inconclusive, match="load: worker 1 of 2: KeyError: 'behaviour'"):
        world.start()


def _refuse(*_: object) -> Any:
    raise KeyError("behaviour")


def test_last_output_of_the_process_is_in_the_message(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    assert world.worker.with_last_output("it ended") == "it ended\n  | first\n  | last words"
    world.worker.abandon()


def test_same_kernel_has_the_same_clock(tmp_path: Path) -> None:
    exchange = Exchange(AgentStream(Agent(tmp_path, FakeProcess().start, now=lambda: 12345.0)))
    offset = measure_offset(exchange, FakeClock().monotonic, 1.0)
    assert offset == ClockOffset(0.0, 0.0)
    assert str(offset) == "the same clock"


def test_offset_of_another_machine_is_bounded_by_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quickest of the answers counts: half of its time is the error."""
    clock = FakeClock(monotonic=100.0)
    delays = iter([0.5, 0.1, 0.004, 0.3] + [0.2] * 20)
    agent = Agent(tmp_path, FakeProcess().start, now=lambda: clock.monotonic() + 5000.0)

    def slowly(_request: object) -> None:
        # Most of the time is on the way to the agent: the estimate is wrong, but not by more than its error.
        clock.advance(next(delays))

    exchange = Exchange(AgentStream(agent, on_send=slowly))
    monkeypatch.setattr("harness.traffic.load.remote.clock.kernel", lambda: {"boot": "mine", "time_namespace": "mine"})
    offset = measure_offset(exchange, clock.monotonic, 1.0)
    assert offset.error == pytest.approx(0.002)
    assert abs(offset.seconds - 5000.0) <= offset.error + 1e-9
    assert str(offset) == "clock offset 5000.0020 s ± 2.0 ms"


def test_answer_that_is_none_of_an_agent_is_a_lost_connection(tmp_path: Path) -> None:
    class Other(AgentStream):
        def receive(self, timeout: float) -> bytes:
            return b"HTTP/1.1 400 Bad Request\n"

    with pytest.raises(ConnectionError, match="not one of an agent"):
        Exchange(Other(Agent(tmp_path, FakeProcess().start))).call({"do": "clock"}, 1.0)
    with pytest.raises(AgentFailed, match="KeyError"):
        Exchange(AgentStream(Agent(tmp_path, FakeProcess().start))).call({"do": "dance"}, 1.0)
