"""The prober's process against servers with TLS on loopback. No cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import FakeClock, SystemClock
from harness.common.waiting import wait_until
from harness.engine.steps.prober import TargetProber
from harness.engine.steps.reach import Finder
from harness.safety.guard.hosts import Host
from harness.traffic.prober.declaration import Probing
from harness.traffic.prober.driver import RunningProber
from harness.traffic.prober.wire import Settings, StreamSettings
from harness.traffic.target.endpoint import Access, Tls
from tests.integration.secure_server import Authority, Seen, Server, secure_server

CLOCK = SystemClock()
# Only ends a test that hangs.
PATIENCE = 60.0
NAME = "shop.test"
HTTP = StreamSettings("http", "127.0.0.1", 0, 0.05, 5.0, options={"method": "GET", "path": "/cart", "status": 0})
GRPC = StreamSettings("grpc", "127.0.0.1", 0, 0.05, 5.0, options={"service": ""})
TCP = StreamSettings("tcp", "127.0.0.1", 0, 0.05, 5.0)
SERVING = b"\x00\x00\x00\x00\x02\x08\x01"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def outcomes(
    stack: ExitStack, folder: Path, *streams: StreamSettings, secrets: dict[str, str] | None = None
) -> list[set[str]]:
    """The outcomes of each stream, once all of them have three."""
    prober = RunningProber.start(Settings(streams, PATIENCE), folder, CLOCK, secrets=secrets)
    stack.callback(prober.stop)

    def look() -> tuple[list[list[str]] | None, str]:
        seen = [[probe.outcome for probe in prober.seen(number, 0.0)] for number in range(len(streams))]
        assert prober.failure() is None
        return (seen if all(len(each) >= 3 for each in seen) else None), str(seen)

    return [set(each) for each in wait_until("probes", look, PATIENCE, CLOCK, every=0.02)]


def at(stream: StreamSettings, server: Server, access: Access, **changes: object) -> StreamSettings:
    return replace(stream, port=server.port, access=access, **changes)  # type: ignore[arg-type]


def grpc(seen: Seen) -> tuple[int, dict[str, str], bytes, dict[str, str]]:
    """Any gRPC server's answer to a health check, and a plain one to the rest."""
    if seen.protocol == "h2":
        return 200, {"content-type": "application/grpc"}, SERVING, {"grpc-status": "0"}
    return 200, {}, b"hi", {}


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_probes_speak_tls_and_send_credentials(
    stack: ExitStack, authority: Authority, tmp_path: Path, kept: bool
) -> None:
    server = stack.enter_context(secure_server(tmp_path, authority.issue(NAME)))
    server.answer = grpc
    access = Access(NAME, "/api", "${env:HARNESS_TARGET_1}", Tls(NAME, ca=authority.pem))
    streams = at(HTTP, server, access, kept=kept), at(GRPC, server, access, kept=kept), at(TCP, server, access)
    found = outcomes(stack, tmp_path / "prober", *streams, secrets={"HARNESS_TARGET_1": "Bearer s3cret"})
    assert found == [{"ok"}, {"ok"}, {"ok"}]
    by = {seen.protocol: seen for seen in server.requests}
    assert (by["http/1.1"].path, by["http/1.1"].headers["host"]) == ("/api/cart", NAME)
    assert (by["h2"].headers[":scheme"], by["h2"].headers[":authority"]) == ("https", NAME)
    assert {seen.headers["authorization"] for seen in server.requests} == {"Bearer s3cret"}
    assert {seen.server_name for seen in server.requests} == {NAME}
    for file in (tmp_path / "prober").iterdir():
        assert b"s3cret" not in file.read_bytes(), file


def test_probes_name_what_is_wrong_with_the_certificate(stack: ExitStack, authority: Authority, tmp_path: Path) -> None:
    other = stack.enter_context(secure_server(tmp_path / "other", authority.issue("other.test")))
    plain = stack.enter_context(secure_server(tmp_path / "plain"))
    mutual = stack.enter_context(secure_server(tmp_path / "mtls", authority.issue(NAME), clients=authority.pem))
    old = stack.enter_context(secure_server(tmp_path / "old", authority.issue(NAME), protocols=["http/1.1"]))
    access = Access(tls=Tls(NAME, ca=authority.pem))
    servers = (HTTP, other), (HTTP, plain), (HTTP, mutual), (GRPC, old)
    found = outcomes(stack, tmp_path / "prober", *(at(stream, server, access) for stream, server in servers))
    assert found[:2] == [
        {"tls: certificate verify failed: hostname mismatch, certificate is not valid for 'shop.test'"},
        {"tls: the server does not speak TLS"},
    ]
    # The server closes after its answer: what the probe sends meanwhile may be refused first.
    assert found[2] <= {"tls: the server requires a client certificate", "reset", "tls: closed by the server"}
    assert found[3] <= {"tls: the server does not offer HTTP/2", "tls: the server does not offer the protocol"}


def test_client_certificate_is_used_from_memory(stack: ExitStack, authority: Authority, tmp_path: Path) -> None:
    server = stack.enter_context(secure_server(tmp_path, authority.issue(NAME), clients=authority.pem))
    ours = authority.issue("prober.test")
    tls = Tls(NAME, ca=authority.pem, certificate=ours.certificate, key="${env:HARNESS_TARGET_1}")
    stream = at(HTTP, server, Access(tls=tls))
    assert outcomes(stack, tmp_path / "prober", stream, secrets={"HARNESS_TARGET_1": ours.key}) == [{"ok"}]
    assert {seen.client for seen in server.requests} == {"prober.test"}
    for file in (tmp_path / "prober").iterdir():
        assert b"PRIVATE KEY" not in file.read_bytes(), file


class Elsewhere(FakeCluster):
    """A cluster whose network this machine cannot enter."""

    def load_command(self) -> Sequence[str]:
        return ("/bin/false",)


def test_url_is_probed_from_this_machines_own_network(stack: ExitStack, authority: Authority, tmp_path: Path) -> None:
    server = stack.enter_context(secure_server(tmp_path, authority.issue(NAME)))
    (tmp_path / "ca.pem").write_text(authority.pem)
    target = {"url": f"https://127.0.0.1:{server.port}/api", "host": NAME, "tls": {"ca": "ca.pem"}}
    probing = Probing.model_validate({"http": {"target": target, "path": "/cart"}, "timeout": 5.0})
    finder = Finder(Elsewhere(FakeClock()), "ns", tmp_path, CLOCK, hosts=[Host(name="127.0.0.1")])
    prober = TargetProber(finder, [probing], folder=tmp_path / "prober", seconds=PATIENCE)
    stack.callback(prober.stop)
    prober.wait_ready(PATIENCE)
    (stream,) = prober.streams(0.0)
    assert (stream.name, stream.service) == ("http 127.0.0.1", "")
    assert (server.requests[0].path, server.requests[0].headers["host"]) == ("/api/cart", NAME)
    assert server.requests[0].server_name == NAME
