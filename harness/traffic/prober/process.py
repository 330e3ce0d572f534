"""The prober's process: starts every probe at its intended time and records the outcome.

Open loop: a probe never waits for the one before it. Probes that could not be started in time are recorded as dropped.
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

from harness.traffic.priority import raise_priority
from harness.traffic.prober.exchange import ConnectedProber, Prober, ProtocolError, TcpConnection, outcome_of
from harness.traffic.prober.schedule import Schedule, staggered
from harness.traffic.prober.wire import STOPPED, Settings, StreamSettings, record_line
from harness.traffic.retired_ports import MOST, RetiredPorts

# Open files for everything except probes, and for connections that the kernel is still closing.
SPARE_FILES = 64
# Probes in flight beyond the number that can time out at once: only a stalled event loop needs them.
SPARE_PROBES = 4
ALIVE_EVERY = 1.0
START_AFTER = 0.05


class Stream:
    """The probes of one stream, started according to their schedule."""

    def __init__(self, number: int, prober: Prober, schedule: Schedule, write: Callable[[bytes], None]) -> None:
        self._number, self._prober, self._schedule, self._write = number, prober, schedule, write
        self._settings = settings = prober.settings
        self._most = math.ceil(settings.timeout / settings.period) + SPARE_PROBES
        self._in_flight: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def arm(self) -> None:
        """Set the timer for the next probe."""
        self._loop.call_at(self._schedule.next, self._wake)

    def _wake(self) -> None:
        # asyncio's timers use the same clock, but may fire early by up to its resolution.
        now = max(time.monotonic(), self._schedule.next)
        for intended in self._schedule.due(now):
            # A probe this late would measure a different time than the intended one.
            if now - intended > max(self._settings.timeout, self._settings.period):
                self._drop(intended, "the prober was late")
            elif len(self._in_flight) >= self._most:
                self._drop(intended, "too many in flight")
            else:
                task = self._loop.create_task(self._probe(intended))
                self._in_flight.add(task)
                task.add_done_callback(self._in_flight.discard)
        self.arm()

    async def _probe(self, intended: float) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout):
                outcome = await self._prober.probe()
        # asyncio raises the built-in TimeoutError, which is an OSError.
        except (OSError, EOFError, ProtocolError) as error:
            outcome = outcome_of(error)
        self._write(record_line("probe", self._number, intended, started, time.monotonic(), outcome))

    def _drop(self, intended: float, reason: str) -> None:
        self._write(record_line("dropped", self._number, intended, reason))


def prober_of(settings: StreamSettings, ports: RetiredPorts) -> Prober:
    """Return the prober of a stream; the modules of other protocols are not imported."""
    match settings.protocol:
        case "http":
            from harness.traffic.prober.http import HttpConnection  # noqa: PLC0415

            return ConnectedProber(settings, HttpConnection, ports)
        case "grpc":
            from harness.traffic.prober.grpc_health import GrpcHealthConnection  # noqa: PLC0415

            return ConnectedProber(settings, GrpcHealthConnection, ports)
        case "dns":
            from harness.traffic.prober.dns import DnsProber  # noqa: PLC0415

            return DnsProber(settings)
        case "tcp":
            return ConnectedProber(settings, TcpConnection, ports)
    raise ValueError(settings.protocol)


async def run(settings: Settings, records: Path) -> None:
    """Probe until standard input closes or ``max_seconds`` are over."""
    files = raise_file_limit(settings)
    raise_priority()
    # Unbuffered, so that each record is written at once and a killed process loses none.
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
                # wait_for cancels what it waited for at a timeout; the shield keeps the future for the next round.
                reason = await asyncio.wait_for(asyncio.shield(gone), ALIVE_EVERY)
                break
        file.write(record_line("end", time.monotonic(), reason))


def _input_closed() -> asyncio.Future[str]:
    """Return a future that is done when standard input closes: the harness has stopped the probes or is gone."""
    loop = asyncio.get_running_loop()
    closed: asyncio.Future[str] = loop.create_future()

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            closed.set_result(STOPPED)

    loop.add_reader(sys.stdin.fileno(), readable)
    return closed


def raise_file_limit(settings: Settings) -> int:
    """Raise the limit of open files, so that all probes can time out at once while earlier ports are blocked.

    Return how many open files the process needs apart from the blocked ports.
    """
    probes = sum(math.ceil(stream.timeout / stream.period) + SPARE_PROBES for stream in settings.streams)
    files = SPARE_FILES + probes
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files + MOST:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files + MOST, hard), hard))
    return files
