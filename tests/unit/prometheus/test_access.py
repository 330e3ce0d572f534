"""Credentials for Prometheus: sent where they belong, taken from where nobody can read them, and never told again."""

from __future__ import annotations

import base64
import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import FakeClock
from harness.common.errors import InputError
from harness.engine.settings import Settings, resolve
from harness.prometheus.access import PASSWORD_VARIABLE, TOKEN_VARIABLE, PrometheusAccess
from harness.prometheus.client import NoData, Prometheus, PrometheusError, QueryRefused
from harness.prometheus.discovery import prometheus_for
from tests.unit.prometheus.scripted_prometheus import vector

CANARY = "canary-9f3a1c77"
Answer = Callable[[str, dict[str, str]], tuple[int, Any]]


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server on loopback; ``answer`` is given the path and the headers of a request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path, {key.lower(): value for key, value in self.headers.items()})
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def seen(access: PrometheusAccess, url: Callable[[str], str] = str) -> dict[str, str]:
    """The headers that a server gets from us."""
    headers: list[dict[str, str]] = []

    def answer(_path: str, got: dict[str, str]) -> tuple[int, Any]:
        headers.append(got)
        return 200, vector(7)

    with serving(answer) as place:
        Prometheus(url(place), access, clock=FakeClock()).number("up")
    return headers[0]


def settings(tmp_path: Path, environ: dict[str, str] | None = None, **options: str) -> Settings:
    given = {f"resilience_prometheus_{name}": text for name, text in options.items()}
    return resolve("auto", given.get, lambda _name: "", environ or {})


def file(tmp_path: Path, text: str, name: str = "secret") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_token_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    from_file = settings(tmp_path, url="http://x", token_file=file(tmp_path, f"{CANARY}\n")).prometheus_access
    from_environment = settings(tmp_path, {TOKEN_VARIABLE: CANARY}, url="http://x").prometheus_access
    for access in (from_file, from_environment):
        assert seen(access)["authorization"] == f"Bearer {CANARY}"


def test_a_token_that_was_renewed_is_read_again(tmp_path: Path) -> None:
    access = settings(tmp_path, url="http://x", token_file=file(tmp_path, "first-token")).prometheus_access
    file(tmp_path, "second-token")
    assert seen(access)["authorization"] == "Bearer second-token"


def test_a_user_has_a_password(tmp_path: Path) -> None:
    expected = "Basic " + base64.b64encode(f"me:{CANARY}".encode()).decode()
    environment = settings(tmp_path, {PASSWORD_VARIABLE: CANARY}, url="http://x", user="me").prometheus_access
    secret = settings(tmp_path, url="http://x", user="me", password_file=file(tmp_path, CANARY)).prometheus_access
    assert [seen(access)["authorization"] for access in (environment, secret)] == [expected, expected]
    assert seen(PrometheusAccess(), lambda place: place.replace("//", f"//me:{CANARY}@"))["authorization"] == expected


def test_a_tenant_and_other_headers_are_sent(tmp_path: Path) -> None:
    headers = file(tmp_path, f"X-Api-Key: {CANARY}\n\nTHANOS-TENANT: a\n")
    got = seen(settings(tmp_path, url="http://x", tenant="team-1", headers_file=headers).prometheus_access)
    assert (got["x-scope-orgid"], got["x-api-key"], got["thanos-tenant"]) == ("team-1", CANARY, "a")


def test_environment_proxy_and_netrc_never_replace_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", file(tmp_path, "machine 127.0.0.1 login me password other\n", "netrc"))
    assert seen(PrometheusAccess(token=CANARY))["authorization"] == f"Bearer {CANARY}"


@pytest.mark.parametrize(
    ("environ", "options", "message"),
    [
        ({TOKEN_VARIABLE: CANARY}, {}, "--prometheus-url: missing, but credentials were given"),
        (
            {TOKEN_VARIABLE: CANARY},
            {"url": "http://x", "token_file": "FILE"},
            f"found both this option and {TOKEN_VARIABLE}",
        ),
        ({TOKEN_VARIABLE: CANARY}, {"url": "http://x", "user": "me"}, "found two kinds of credentials"),
        ({TOKEN_VARIABLE: CANARY}, {"url": "http://a:b@x"}, "found two kinds of credentials"),
        ({}, {"url": "http://x", "user": "me"}, "found a user without a password"),
        ({PASSWORD_VARIABLE: CANARY}, {"url": "http://x"}, "found a password without a user"),
        ({}, {"url": "http://x", "token_file": "nowhere"}, "found 'nowhere', expected an existing file"),
        ({}, {"url": "http://x", "ca": "9" * 5000}, "9', expected an existing file"),
        ({}, {"url": "http://[x"}, "found 'http://[x', expected an http or https URL"),
        ({}, {"url": "http://x", "ca": "nowhere"}, "--prometheus-ca: found 'nowhere'"),
        ({}, {"url": "http://x", "token_file": "EMPTY"}, "found 0 lines, expected one"),
        ({}, {"url": "http://x", "headers_file": "FILE"}, ":1: --prometheus-headers-file: expected Name: value"),
    ],
)
def test_conflicting_options_are_reported_without_the_secret(
    tmp_path: Path, environ: dict[str, str], options: dict[str, str], message: str
) -> None:
    files = {"FILE": file(tmp_path, CANARY), "EMPTY": file(tmp_path, "", "empty")}
    with pytest.raises(InputError) as raised:
        settings(tmp_path, environ, **{name: files.get(text, text) for name, text in options.items()})
    assert message in str(raised.value)
    assert CANARY not in str(raised.value)


def test_certificate_is_trusted_if_its_signer_is_named(tmp_path: Path) -> None:
    authority, context = certificate(tmp_path)
    with serving(lambda *_: (200, vector(7)), context) as place:
        assert Prometheus(place, PrometheusAccess(ca=authority), clock=FakeClock()).number("up").value == 7
        with pytest.raises(PrometheusError, match=r"(?i)certificate"):
            Prometheus(place, clock=FakeClock()).number("up")


def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    from datetime import UTC, datetime, timedelta
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    unencrypted = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "ca.pem").write_bytes(made.public_bytes(pem))
    (tmp_path / "both.pem").write_bytes(made.public_bytes(pem) + unencrypted)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    return tmp_path / "ca.pem", context


BASIC = base64.b64encode(f"me:{CANARY}".encode()).decode()


@pytest.mark.parametrize(
    ("access", "user"),
    [
        (PrometheusAccess(token=CANARY), ""),
        (PrometheusAccess(user="me", password=CANARY), ""),
        (PrometheusAccess(headers={"X-Api-Key": CANARY}), ""),
        (PrometheusAccess(), f"me:{CANARY}@"),
    ],
    ids=["token", "password", "header", "URL"],
)
@pytest.mark.parametrize("form", ["json", "text", "warning"])
def test_secret_quoted_by_the_server_is_hidden(
    access: PrometheusAccess, user: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy that is asked for help likes to print the request."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = [repr(access)]

    def answer(_path: str, headers: dict[str, str]) -> tuple[int, Any]:
        quoted = f"{headers}"
        if form == "warning":
            return 200, vector(warnings=[quoted], infos=[quoted])
        return 401, {"status": "error", "error": quoted} if form == "json" else quoted

    with serving(answer) as place:
        prometheus = Prometheus(place.replace("//", f"//{user}"), access, clock=FakeClock())
        told += [str(prometheus.ready()), prometheus.place, prometheus.describe()]
        with pytest.raises((QueryRefused, NoData)) as raised:
            prometheus.number("up")
        told += [str(raised.value), repr(raised.value), *prometheus.warnings()]
        told += [repr(raised.value.__cause__), caplog.text]
    assert CANARY not in "\n".join(told)
    assert BASIC not in "\n".join(told)


def test_cluster_prometheus_receives_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    assert prometheus_for(FakeCluster(), "", PrometheusAccess(token=CANARY)) is None
    found = prometheus_for(FakeCluster(), "http://x/prometheus/", PrometheusAccess(token=CANARY))
    assert found is not None
    assert found.url == "http://x/prometheus"


ERROR = {"status": "error", "errorType": "execution", "error": "storage is away"}


def shaped(pages: dict[str, Any], prefix: str = "") -> Answer:
    """A server that has these pages below a prefix, and nothing else."""

    def answer(path: str, _headers: dict[str, str]) -> tuple[int, Any]:
        page = path.partition("?")[0].removeprefix(prefix)
        if not path.startswith(prefix) or page not in pages:
            return 404, "404 page not found"
        found = pages[page]
        return found if isinstance(found, tuple) else (200, found)

    return answer


BUILD = {"status": "success", "data": {"version": "2.14.0"}}


@pytest.mark.parametrize(
    ("pages", "prefix", "version"),
    [
        ({"/-/ready": "Ready", "/api/v1/query": vector(20), "/api/v1/status/buildinfo": BUILD}, "", "2.14.0"),
        (
            {"/-/ready": "OK", "/api/v1/query": vector(20), "/api/v1/targets": BUILD | {"data": {"activeTargets": []}}},
            "",
            "",
        ),
        (
            {"/api/v1/query": vector(20, stats={"seriesFetched": "1"}), "/api/v1/status/buildinfo": BUILD},
            "/prometheus",
            "2.14.0",
        ),
        ({"/api/v1/query": vector(20, isPartial=False)}, "/select/0/prometheus", ""),
    ],
    ids=["Prometheus", "Thanos", "Mimir", "VictoriaMetrics"],
)
def test_compatible_servers_are_queried_below_their_prefix(pages: dict[str, Any], prefix: str, version: str) -> None:
    """Who stores what others scrape has neither targets nor a configuration, and other pages for its health."""
    with serving(shaped(pages, prefix)) as place:
        prometheus = Prometheus(f"{place}{prefix}/", clock=FakeClock())
        assert prometheus.ready() is None
        assert prometheus.version() == (version or "unknown version")
        assert prometheus.scrape_interval("shop") == 15.0
        assert prometheus.started() == 20.0
        assert prometheus.number("up").value == 20


@pytest.mark.parametrize(
    ("answer", "warnings"),
    [
        (vector(1, warnings=["No StoreAPIs matched for this query"]), ("No StoreAPIs matched for this query",)),
        (vector(1, isPartial=True), ("the server reports a partial result",)),
        (vector(1, infos=["metric might not be a counter"]), ()),
    ],
    ids=["Thanos", "VictoriaMetrics", "a mere hint"],
)
def test_incomplete_response_is_reported(answer: Any, warnings: tuple[str, ...]) -> None:
    with serving(shaped({"/api/v1/query": answer})) as place:
        assert Prometheus(place, clock=FakeClock()).number("up").warnings == warnings


def test_complete_response_is_required() -> None:
    """Thanos leaves out stores that do not answer unless it is told not to."""
    asked: list[str] = []

    def answer(path: str, _headers: dict[str, str]) -> tuple[int, Any]:
        asked.append(path)
        return 200, vector(1)

    with serving(answer) as place:
        Prometheus(place, clock=FakeClock()).number("up")
    assert "partial_response=false" in asked[0]


@pytest.mark.parametrize("status", [422, 503])
def test_error_quotes_the_server(status: int) -> None:
    pages = {"/api/v1/query": (status, ERROR)}
    with serving(shaped(pages)) as place, pytest.raises(PrometheusError, match="storage is away"):
        Prometheus(place, clock=FakeClock()).number("up")


def test_a_clone_asks_the_same_server_with_the_same_credentials() -> None:
    headers: list[str] = []

    def answer(_path: str, got: dict[str, str]) -> tuple[int, Any]:
        headers.append(got["authorization"])
        return 200, vector(7)

    with serving(answer) as place:
        one = Prometheus(place, PrometheusAccess(token=CANARY), clock=FakeClock())
        other = one.clone()
        one.close()
        assert other.number("up").value == 7
    assert headers == [f"Bearer {CANARY}"]
