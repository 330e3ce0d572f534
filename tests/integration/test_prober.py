"""The prober's process for real, on loopback, against targets whose faults are known. No cluster."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded

from harness.common.clock import SystemClock
from harness.common.errors import Inconclusive
from harness.common.waiting import wait_until
from harness.traffic.prober.driver import RunningProber
from harness.traffic.prober.wire import Settings, StreamSettings
from tests.integration.target_server import GOOD, Target, serving

CLOCK = SystemClock()
# Only ends a test that hangs.
PATIENCE = 60.0
SOON = 0.3


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def target(stack: ExitStack) -> Target:
    return stack.enter_context(serving())


def http(
    port: int,
    path: str = "/",
    *,
    kept: bool = False,
    period: float = 0.02,
    status: int = 0,
    timeout: float = SOON,
) -> StreamSettings:
    options = {"method": "GET", "path": path, "status": status}
    return StreamSettings("http", "127.0.0.1", port, period, timeout, kept, options)


def start(stack: ExitStack, folder: Path, *streams: StreamSettings, seconds: float = PATIENCE) -> RunningProber:
    prober = RunningProber.start(Settings(streams, seconds), folder, CLOCK)
    stack.callback(prober.stop)
    return prober


def until(what: str, look: Callable[[], bool]) -> None:
    wait_until(what, lambda: (look() or None, "not yet"), PATIENCE, CLOCK, every=0.02)


def outcomes(prober: RunningProber, stream: int = 0) -> list[str]:
    return [probe.outcome for probe in prober.seen(stream, 0.0)]


def wait_for(prober: RunningProber, outcome: str, stream: int = 0) -> None:
    until(f"outcome {outcome}", lambda: outcome in outcomes(prober, stream) or prober.failure() is not None)
    assert prober.failure() is None


def test_every_failure_has_a_distinct_outcome(stack: ExitStack, target: Target, tmp_path: Path) -> None:
    ways = {
        "/": "ok",
        "/503": "503",
        "/close": "closed without an answer",
        "/reset": "reset",
        "/cut": "broken answer",
        "/broken": "broken answer",
        "/silent": "timeout",
        "/elsewhere": "ok",
    }
    # Patient with all but the silent one: a busy machine's target may be late, which is another way to fail.
    patience = {way: SOON if way == "/silent" else PATIENCE for way in ways}
    prober = start(stack, tmp_path, *(http(target.port, way, period=0.1, timeout=patience[way]) for way in ways))
    for stream, outcome in enumerate(ways.values()):
        wait_for(prober, outcome, stream)
    prober.stop()
    assert prober.failure() is None
    assert [set(outcomes(prober, stream)) for stream in range(len(ways))] == [{outcome} for outcome in ways.values()]
    silent = prober.seen(list(ways).index("/silent"), 0.0)
    assert all(probe.finished - probe.started >= SOON - 0.002 for probe in silent)


def test_exact_status_may_be_expected(stack: ExitStack, target: Target, tmp_path: Path) -> None:
    prober = start(stack, tmp_path, http(target.port, "/503", status=503), http(target.port, "/", status=204))
    wait_for(prober, "ok", 0)
    wait_for(prober, "200", 1)


def test_probes_stay_on_schedule_while_the_target_hangs(stack: ExitStack, target: Target, tmp_path: Path) -> None:
    """Open loop: a stall of the target delays no probe, and what waited is answered when it is over. A probe that a
    busy machine could not start in time is left out and counted, never moved."""
    prober = start(stack, tmp_path, http(target.port))
    wait_for(prober, "ok")
    target.gate.clear()
    wait_for(prober, "timeout")
    target.gate.set()
    until("good ones again", lambda: outcomes(prober)[-1] == "ok")
    # The stop loses what is in flight: only the probes that have had time to end are counted.
    back = CLOCK.monotonic()
    until("the others", lambda: prober.seen(0, 0.0)[-1].intended > back + 3 * SOON)
    prober.stop()
    intended = sorted(probe.intended for probe in prober.seen(0, 0.0) if probe.intended < back)
    slots = [round((at - intended[0]) / 0.02) for at in intended]
    assert intended == pytest.approx([intended[0] + slot * 0.02 for slot in slots], abs=1e-5)
    assert all(after > before for before, after in pairwise(slots))
    assert slots[-1] + 1 - len(slots) <= prober.dropped(0)
    assert all(probe.started >= probe.intended - 1e-5 for probe in prober.seen(0, 0.0))


def test_a_new_connection_for_each_probe_or_one_for_all(stack: ExitStack, tmp_path: Path) -> None:
    fresh, kept = stack.enter_context(serving()), stack.enter_context(serving())
    # Slow enough that no probe of the kept stream finds the connection taken.
    prober = start(stack, tmp_path, http(fresh.port), http(kept.port, kept=True, period=0.25))
    until("probes of both", lambda: min(len(outcomes(prober, 0)), len(outcomes(prober, 1))) >= 5)
    prober.stop()
    assert fresh.connections >= len(outcomes(prober, 0))
    assert kept.connections < len(outcomes(prober, 1))


def test_closed_and_silent_listeners_differ_and_recovery_is_seen(stack: ExitStack, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        prober = start(stack, tmp_path, StreamSettings("tcp", "127.0.0.1", port, 0.02, SOON))
        wait_for(prober, "ok")
    wait_for(prober, "refused")
    with socket.create_server(("127.0.0.1", port)):
        until("good ones again", lambda: outcomes(prober)[-1] == "ok")
        prober.stop()


def test_unreachable_target_is_reported(stack: ExitStack, target: Target, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    prober = start(stack, tmp_path, http(target.port), http(port))
    wait_for(prober, "ok", 0)
    wait_for(prober, "refused", 1)
    with pytest.raises(Inconclusive, match="last seen: second: refused"):
        prober.wait_ready(["first", "second"], 0.1)


def test_the_process_ends_by_itself_when_its_time_is_over(stack: ExitStack, target: Target, tmp_path: Path) -> None:
    prober = start(stack, tmp_path, http(target.port), seconds=0.5)
    until("its end", lambda: prober.failure() is not None)
    assert "0.5 s are over" in str(prober.failure())


def test_dead_process_is_detected_with_its_last_output(stack: ExitStack, tmp_path: Path) -> None:
    prober = start(stack, tmp_path, StreamSettings("carrier-pigeon", "127.0.0.1", 1, 1.0, 1.0))
    until("its death", lambda: prober.failure() is not None)
    assert "exit code 1" in str(prober.failure())
    assert "ValueError: carrier-pigeon" in str(prober.failure())


def test_a_stopped_prober_leaves_no_process(stack: ExitStack, target: Target, tmp_path: Path) -> None:
    prober = start(stack, tmp_path, http(target.port))
    wait_for(prober, "ok")
    prober.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(prober.pid, 0)


def _health_server(listener: socket.socket, statuses: list[int], grpc_status: str) -> None:
    """One connection after another; each call takes the next status, the last one stays."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            state = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
            state.initiate_connection()
            connection.sendall(state.data_to_send())
            while new := connection.recv(65536):
                for event in state.receive_data(new):
                    if isinstance(event, RequestReceived):
                        assert dict(event.headers)[":path"] == "/grpc.health.v1.Health/Check"
                    elif isinstance(event, StreamEnded):
                        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
                        state.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                        state.send_data(event.stream_id, b"\0\0\0\0\x02\x08" + bytes([status]))
                        state.send_headers(event.stream_id, [("grpc-status", grpc_status)], end_stream=True)
                connection.sendall(state.data_to_send())


@pytest.mark.parametrize("kept", [False, True])
def test_grpc_health_is_probed_over_new_and_kept_connections(stack: ExitStack, tmp_path: Path, kept: bool) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    threading.Thread(target=_health_server, args=(listener, [1, 1, 2, 1], "0"), daemon=True).start()
    stream = StreamSettings("grpc", "127.0.0.1", listener.getsockname()[1], 0.1, PATIENCE, kept, {"service": ""})
    prober = start(stack, tmp_path, stream)
    until("five checks", lambda: len(outcomes(prober)) >= 5)
    prober.stop()
    assert outcomes(prober)[:5] == ["ok", "ok", "not serving", "ok", "ok"]
    listener.shutdown(socket.SHUT_RDWR)


def _at_once(listener: socket.socket) -> None:
    """Answers every request twice in one piece."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while connection.recv(65536):
                connection.sendall(GOOD + GOOD.replace(b"200 OK", b"503 Not Yours"))


def test_unsolicited_response_is_not_taken_for_the_next_one(stack: ExitStack, tmp_path: Path) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    threading.Thread(target=_at_once, args=(listener,), daemon=True).start()
    prober = start(stack, tmp_path, http(listener.getsockname()[1], kept=True, period=0.25))
    until("three probes", lambda: len(outcomes(prober)) >= 3 or prober.failure() is not None)
    prober.stop()
    assert set(outcomes(prober)) == {"ok"}
    listener.shutdown(socket.SHUT_RDWR)


def _farewells(listener: socket.socket, grpc: bool) -> None:
    """Answers once over each connection, then gives notice unasked and closes it, as servers do that are drained."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            state = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
            asked = False
            while not asked and (new := connection.recv(65536)):
                events = state.receive_data(new) if grpc else ()
                ended = [event for event in events if isinstance(event, StreamEnded)]
                for event in ended:
                    state.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                    state.send_data(event.stream_id, b"\0\0\0\0\x02\x08\x01")
                    state.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
                connection.sendall(state.data_to_send() if grpc else GOOD)
                asked = bool(ended) or not grpc
            # Later than the answer, and before the next probe.
            threading.Event().wait(0.05)
            state.close_connection()
            notice = state.data_to_send() if grpc else b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(notice)


@pytest.mark.parametrize("grpc", [True, False], ids=["grpc", "http"])
def test_announced_close_of_a_kept_connection_is_no_failure(stack: ExitStack, tmp_path: Path, grpc: bool) -> None:
    """No client sends another request over a connection that the server has announced to close."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    threading.Thread(target=_farewells, args=(listener, grpc), daemon=True).start()
    port = listener.getsockname()[1]
    health = StreamSettings("grpc", "127.0.0.1", port, 1.0, PATIENCE, True, {"service": ""})
    prober = start(stack, tmp_path, health if grpc else http(port, kept=True, period=1.0))
    until("three probes", lambda: len(outcomes(prober)) >= 3 or prober.failure() is not None)
    prober.stop()
    assert set(outcomes(prober)) == {"ok"}
    listener.shutdown(socket.SHUT_RDWR)


def test_grpc_error_is_reported_with_its_code(stack: ExitStack, tmp_path: Path) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    threading.Thread(target=_health_server, args=(listener, [1], "12"), daemon=True).start()
    stream = StreamSettings("grpc", "127.0.0.1", listener.getsockname()[1], 0.1, PATIENCE, options={"service": ""})
    wait_for(start(stack, tmp_path, stream), "grpc status 12")
    listener.shutdown(socket.SHUT_RDWR)


def test_names_are_resolved_over_udp(stack: ExitStack, tmp_path: Path) -> None:
    """A server that first answers somebody else's question, then this one; and a port that nobody listens on."""
    server = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    server.bind(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                asked, address = server.recvfrom(512)
            except OSError:
                return
            flags = b"\x81\x80\0\x01\0\x01\0\0\0\0"
            server.sendto(bytes([asked[0] ^ 1, asked[1]]) + flags + asked[12:], address)
            server.sendto(asked[:2] + flags + asked[12:], address)

    threading.Thread(target=answer, daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()[1]
    options = {"name": "shop.default.svc", "type": "A"}
    ports = (server.getsockname()[1], nobody)
    prober = start(
        stack, tmp_path, *(StreamSettings("dns", "127.0.0.1", port, 0.05, SOON, options=options) for port in ports)
    )
    wait_for(prober, "ok", 0)
    wait_for(prober, "refused", 1)
    prober.stop()
