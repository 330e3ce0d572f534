"""The load process against servers with TLS and HTTP/2 on loopback. No cluster."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import FakeClock, SystemClock
from harness.common.waiting import wait_until
from harness.engine.steps.load import TargetLoad
from harness.experiment.load import Load
from harness.model.requests import RequestSample
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.driver import RunningLoad
from harness.traffic.load.plan import LoadPlan
from harness.traffic.target.declaration import Target
from harness.traffic.target.endpoint import Access, Tls
from tests.fake_run import Stage
from tests.integration.secure_server import Authority, Pair, Server, secure_server

CLOCK = SystemClock()
# Only ends a test that hangs.
PATIENCE = 60.0
DAY = datetime.timedelta(days=1)
NAME = "shop.test"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def tls(authority: Authority, **changes: object) -> Tls:
    return replace(Tls(NAME, ca=authority.pem), **changes)  # type: ignore[arg-type]


def plan(server: Server, access: Access, options: Mapping[str, object] | None = None, **changes: object) -> LoadPlan:
    made = LoadPlan(
        profile=Catalogue().profile("steady"),
        rate=50.0,
        behaviour="http",
        options=options or {},
        host="127.0.0.1",
        port=server.port,
        run="r1",
        experiment="on-loopback",
        namespace="none",
        max_seconds=PATIENCE,
        access=access,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def loaded(folder: Path, plan: LoadPlan, count: int = 10) -> list[RequestSample]:
    """All requests of a load that ended after at least so many."""
    with RunningLoad.start(plan, folder / "load", CLOCK) as load:
        load.wait_ready(PATIENCE)
        origin = CLOCK.monotonic()
        load.phase("baseline", origin)
        wait_until("requests", lambda: (len(load.requests(origin)) >= count or None, ""), PATIENCE, CLOCK, every=0.02)
        load.stop()
        return load.requests(origin)


class Found(Exception):
    """The load waits for the reason that a test looks for."""


def waits(folder: Path, plan: LoadPlan, reason: str) -> bool:
    """Whether a load waits for its target for a reason."""

    def look() -> None:
        records = (folder / "load" / "load-records.jsonl").read_text().splitlines()
        if any(json.loads(line)[0] == "waiting" and json.loads(line)[2] == reason for line in records):
            raise Found

    with RunningLoad.start(plan, folder / "load", CLOCK) as load, pytest.raises(Found):
        load.wait_ready(PATIENCE, look)
    return True


@pytest.mark.parametrize("connection", ["new", "kept"])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_tls_with_name_prefix_and_credentials(
    authority: Authority, tmp_path: Path, connection: str, http2: bool
) -> None:
    access = Access("shop.test:8443", "/api", "${env:HARNESS_TARGET_1}", tls(authority))
    with secure_server(tmp_path, authority.issue(NAME)) as server:
        options = {"path": "/cart?all=1", "connection": connection, "http2": http2}
        seen = loaded(tmp_path, plan(server, access, options, secrets={"HARNESS_TARGET_1": "Bearer s3cret"}))
    assert {(request.name, request.outcome) for request in seen} == {("GET /cart?all=1", "ok")}
    (protocol,) = {request.protocol for request in server.requests}
    assert protocol == ("h2" if http2 else "http/1.1")
    for request in server.requests:
        assert (request.path, request.server_name) == ("/api/cart?all=1", NAME)
        assert request.headers["authorization"] == "Bearer s3cret"
        assert request.headers[":authority" if http2 else "host"] == "shop.test:8443"
    connections = {request.connection for request in server.requests}
    assert len(connections) == len(server.requests) if connection == "new" else len(connections) < 5
    for file in (tmp_path / "load").iterdir():
        assert b"s3cret" not in file.read_bytes(), file


def test_http2_requests_share_one_connection(authority: Authority, tmp_path: Path) -> None:
    """Also bodies larger than the initial window of 65,535 bytes, and without TLS."""
    with secure_server(tmp_path, http2=True) as server:
        options = {"method": "POST", "body": "x" * 200_000, "connection": "kept", "http2": True, "readTimeout": "20s"}
        seen = loaded(tmp_path, plan(server, Access(), options, rate=20.0))
    assert {request.outcome for request in seen} == {"ok"}
    assert {len(request.body) for request in server.requests} == {200_000}
    assert len({request.connection for request in server.requests}) == 1


def test_client_certificate_is_sent(authority: Authority, tmp_path: Path) -> None:
    ours = authority.issue("load.test")
    mutual = tls(authority, certificate=ours.certificate, key="${env:HARNESS_TARGET_1}")
    with secure_server(tmp_path, authority.issue(NAME), clients=authority.pem) as server:
        given = plan(server, Access(tls=mutual), secrets={"HARNESS_TARGET_1": ours.key})
        assert {request.outcome for request in loaded(tmp_path, given)} == {"ok"}
        assert {request.client for request in server.requests} == {"load.test"}
        without = plan(server, Access(tls=tls(authority)))
        assert waits(tmp_path / "without", without, "tls: the server requires a client certificate")
    for file in (tmp_path / "load").iterdir():
        assert b"PRIVATE KEY" not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("issue", "told"),
    [
        (lambda ours: ours.issue(NAME, until=-DAY / 2), "certificate has expired"),
        (lambda ours: ours.issue("other.test"), "hostname mismatch, certificate is not valid for 'shop.test'"),
        (lambda _: Authority("another").issue(NAME), "unable to get local issuer certificate"),
    ],
    ids=["expired", "wrong-name", "unknown-authority"],
)
def test_wrong_certificate_is_named(
    authority: Authority, tmp_path: Path, issue: Callable[[Authority], Pair], told: str
) -> None:
    pair = issue(authority)
    with secure_server(tmp_path, pair) as server:
        assert waits(tmp_path, plan(server, Access(tls=tls(authority))), f"tls: certificate verify failed: {told}")
        insecure = Access(tls=Tls(NAME, insecure=True))
        assert {request.outcome for request in loaded(tmp_path / "insecure", plan(server, insecure))} == {"ok"}


def test_server_without_tls_and_without_http2_is_named(authority: Authority, tmp_path: Path) -> None:
    with secure_server(tmp_path) as server:
        assert waits(tmp_path, plan(server, Access(tls=tls(authority))), "tls: the server does not speak TLS")
    with secure_server(tmp_path, authority.issue(NAME), protocols=["http/1.1"]) as server:
        given = plan(server, Access(tls=tls(authority)), {"http2": True})
        assert waits(tmp_path / "one", given, "tls: the server does not offer HTTP/2")


def test_results_have_the_way_to_the_target_once(tmp_path: Path) -> None:
    cluster = FakeCluster(FakeClock())
    run = replace(Stage(tmp_path).run(), cluster=cluster, clock=CLOCK)
    with secure_server(tmp_path) as server:
        port = {"name": "http", "port": 80, "nodePort": server.port}
        spec = {"type": "LoadBalancer", "ports": [port]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": spec}
        cluster.server.seed(service, namespace="ns")
        load = Load(rate=20, target=Target(service="shop"))
        with TargetLoad(run, "one", "ns", load, folder=tmp_path / "load", seconds=PATIENCE, beside=tmp_path) as running:
            running.wait_ready(PATIENCE)
            notes = list(running.stop().notes)
    way = f"service/shop at 127.0.0.1:{server.port}; Service shop has no load balancer address, so its nodePort is used"
    assert notes == [f"dialled: {way}"]
    assert list(running.stop().notes) == notes
