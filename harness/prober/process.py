"""The prober's process: starts every probe at its instant, and writes down what became of it.

Open loop: a probe never waits for the one before it. What could not be started in time is written down as dropped.
"""

from __future__ import annotations

import asyncio
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.priority import raise_priority
from harness.prober.exchange import ConnectedProber, Prober, ProtocolError, TcpConnection, outcome_of
from harness.prober.schedule import Schedule, staggered
from harness.prober.wire import STOPPED, Settings, StreamSettings, record_line
from harness.retired_ports import MOST, RetiredPorts

# Room for what the process needs besides sockets, and for connections that the kernel still closes.
SPARE_FILES = 64
# More in flight than can be when every probe times out: only a stalled event loop can need it.
SPARE_PROBES = 4
ALIVE_EVERY = 1.0
START_AFTER = 0.05


class Stream:
    """The probes of one stream, started by their schedule."""

    def __init__(self, number: int, prober: Prober, schedule: Schedule, write: Callable[[bytes], None]) -> None:
        self._number, self._prober, self._schedule, self._write = number, prober, schedule, write
        self._settings = settings = prober.settings
        self._most = math.ceil(settings.timeout / settings.period) + SPARE_PROBES
        self._flying: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def arm(self) -> None:
        """Wake up when the next probe is due."""
        self._loop.call_at(self._schedule.next, self._wake)

    def _wake(self) -> None:
        # asyncio's timers go by the same clock, and may fire up to its resolution early.
        now = max(time.monotonic(), self._schedule.next)
        for intended in self._schedule.due(now):
            # A start this late would tell of another time than it was meant for.
            if now - intended > max(self._settings.timeout, self._settings.period):
                self._drop(intended, "the prober was late")
            elif len(self._flying) >= self._most:
                self._drop(intended, "too many in flight")
            else:
                task = self._loop.create_task(self._probe(intended))
                self._flying.add(task)
                task.add_done_callback(self._flying.discard)
        self.arm()

    async def _probe(self, intended: float) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout):
                outcome = await self._prober.probe()
        except (OSError, EOFError, ProtocolError) as error:
            outcome = outcome_of(error)
        self._write(record_line("probe", self._number, intended, started, time.monotonic(), outcome))

    def _drop(self, intended: float, reason: str) -> None:
        self._write(record_line("dropped", self._number, intended, reason))


def prober_of(settings: StreamSettings, ports: RetiredPorts) -> Prober:
    """The prober of a stream; what other protocols need is not even imported."""
    match settings.protocol:
        case "http":
            from harness.prober.http import HttpConnection  # noqa: PLC0415

            return ConnectedProber(settings, HttpConnection, ports)
        case "grpc":
            from harness.prober.grpc_health import GrpcHealthConnection  # noqa: PLC0415

            return ConnectedProber(settings, GrpcHealthConnection, ports)
        case "dns":
            from harness.prober.dns import DnsProber  # noqa: PLC0415

            return DnsProber(settings)
        case "tcp":
            return ConnectedProber(settings, TcpConnection, ports)
    raise ValueError(settings.protocol)


async def run(settings: Settings, records: Path) -> None:
    """Probe until standard input closes or the time is over."""
    files = raise_file_limit(settings)
    raise_priority()
    with records.open("ab", buffering=0) as file:
        begin = time.monotonic()
        schedules = staggered(begin + START_AFTER, [stream.period for stream in settings.streams])
        ports = RetiredPorts(files)
        streams = [
            Stream(number, prober_of(stream, ports), schedule, file.write)  # type: ignore[arg-type]
            for number, (stream, schedule) in enumerate(zip(settings.streams, schedules, strict=True))
        ]
        gone = _input_closed()
        for stream in streams:
            stream.arm()
        reason = f"{settings.max_seconds:g} s are over"
        while time.monotonic() - begin < settings.max_seconds:
            file.write(record_line("alive", time.monotonic()))
            with suppress(TimeoutError):
                reason = await asyncio.wait_for(asyncio.shield(gone), ALIVE_EVERY)
                break
        file.write(record_line("end", time.monotonic(), reason))


def _input_closed() -> asyncio.Future[str]:
    """Done when the harness closes the input: it wants no more, or is gone."""
    loop = asyncio.get_running_loop()
    closed: asyncio.Future[str] = loop.create_future()

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            closed.set_result(STOPPED)

    loop.add_reader(sys.stdin.fileno(), readable)
    return closed


def raise_file_limit(settings: Settings) -> int:
    """Let every probe time out at once, and hold the ports of those before, without running out of sockets.

    Returns how many files it needs without those ports.
    """
    probes = sum(math.ceil(stream.timeout / stream.period) + SPARE_PROBES for stream in settings.streams)
    files = SPARE_FILES + probes
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files + MOST:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files + MOST, hard), hard))
    return files
