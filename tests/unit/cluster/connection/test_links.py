"""Requests, watches and commands go the same way: through TLS and proxies, with the same headers."""

from __future__ import annotations

import base64
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.connection.connection import Connection, kubeconfig_connection
from harness.cluster.connection.credentials import Impersonation
from harness.cluster.connection.proxies import parse_proxy
from harness.cluster.connection.tls import Trust
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.transport import HttpTransport, Request
from harness.cluster.local.pki import Authority
from harness.common.errors import ApiError, InputError
from tests.unit.cluster.connection.kubeconfigs import kubeconfig, write
from tests.unit.cluster.connection.proxy_server import Proxied, proxying
from tests.unit.cluster.http_server import Exchange, LeaseSnapshot, Script, serving

PATH = "/api/v1/pods"
EXEC = "/api/v1/namespaces/shop/pods/web-0/exec"
AUTHORITY = Authority("test")
CA = AUTHORITY.pem.certificate.decode()
ME = Impersonation("jürgen", "7", ("a", "b"), {"k": ("1", "2")})


def server_context(folder: Path, *addresses: str) -> ssl.SSLContext:
    server = AUTHORITY.issue("server", addresses=addresses)
    (folder / "server.pem").write_bytes(server.certificate + server.key)
    (folder / "ca.pem").write_text(CA)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies that nobody answers at: whatever uses them in error fails."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Script]:
    with serving(server_context(tmp_path, "127.0.0.1", "api.test")) as script:
        script.handler = answer
        yield script


@pytest.fixture
def plain() -> Iterator[Script]:
    with serving() as script:
        script.handler = answer
        yield script


def answer(exchange: Exchange) -> None:
    """A list, a watch, or a command that succeeds."""
    if exchange.path.startswith(EXEC):
        exchange.upgrade()
        exchange.frame(3, b'{"status": "Success"}')
        exchange.close_frame()
    elif "watch" in exchange.path:
        exchange.begin_chunks()
        exchange.chunk(b"{}\n")
        exchange.chunk(b"")
    else:
        exchange.answer(200, {})


def use(transport: HttpTransport) -> None:
    """Everything that a transport can be asked for."""
    transport.send(Request("GET", PATH))
    transport.send(Request("POST", PATH, body={}))
    assert list(transport.stream(Request("GET", PATH, {"watch": "true"}))) == [b"{}"]
    assert transport.exec("shop", "web-0", None, ["true"], 10).exit_code == 0
    transport.close()


def seen_of(script: Script) -> list[LeaseSnapshot]:
    assert [seen.path for seen in script.requests] == [PATH, PATH, PATH, EXEC]
    return script.requests


def test_impersonation_is_on_every_request(secure: Script, plain: Script) -> None:
    for script in (secure, plain):
        use(HttpTransport(Connection(script.url, Trust(CA), impersonation=ME)))
        for seen in seen_of(script):
            assert [value.encode("latin-1").decode() for value in seen.values("Impersonate-User")] == ["jürgen"]
            assert seen.values("Impersonate-Uid") == ["7"]
            assert seen.values("Impersonate-Group") == ["a", "b"]
            assert seen.values("Impersonate-Extra-k") == ["1", "2"]


def test_cluster_as_replaces_the_whole_impersonation(plain: Script) -> None:
    """Groups that stayed would give the other user rights that it does not have."""
    api = KubeApi(HttpTransport(Connection(plain.url, impersonation=ME)))
    api.impersonate("other")
    clone = api.clone()
    clone.raw(PATH)
    api.impersonate("")
    api.raw(PATH)
    first, last = plain.requests
    assert [name for name, _ in first.fields if name.startswith("impersonate")] == ["impersonate-user"]
    assert first.values("Impersonate-User") == ["other"]
    assert last.values("Impersonate-Group") == ["a", "b"]


@pytest.mark.parametrize("user", ["a\r\nX: y", "a\nb", "\ud800"])
def test_user_that_no_header_can_hold_is_refused(plain: Script, user: str) -> None:
    with pytest.raises(InputError, match="control character"):
        HttpTransport(Connection(plain.url)).impersonate(user)


def test_server_is_verified(secure: Script) -> None:
    use(HttpTransport(Connection(secure.url, Trust(CA))))
    other = Authority("other").pem.certificate.decode()
    for trust in (Trust(other), Trust(None), Trust(CA, server_name="wrong.test")):
        transport = HttpTransport(Connection(secure.url, trust))
        with pytest.raises(ApiError, match="certificate verify failed"):
            transport.send(Request("GET", PATH))
        with pytest.raises(ApiError, match=r"exec of true in shop/web-0: .*certificate verify failed"):
            transport.exec("shop", "web-0", None, ["true"], 5)


def test_server_name_is_the_one_that_is_verified(tmp_path: Path) -> None:
    with serving(server_context(tmp_path, "api.test")) as script:
        script.handler = answer
        use(HttpTransport(Connection(script.url, Trust(CA, server_name="api.test"))))


def test_unverified_server_raises_no_warning(secure: Script) -> None:
    with proxying("socks5") as socks, warnings.catch_warnings():
        warnings.simplefilter("error")
        use(HttpTransport(Connection(secure.url, Trust(insecure=True))))
        use(HttpTransport(Connection(secure.url, Trust(insecure=True), parse_proxy(socks.url))))


def test_client_certificate_is_shown(tmp_path: Path, secure: Script) -> None:
    client = AUTHORITY.issue("me")
    user = {
        "client-certificate-data": base64.b64encode(client.certificate).decode(),
        "client-key-data": base64.b64encode(client.key).decode(),
    }
    data = kubeconfig(secure.url, user, certificate_authority_data=base64.b64encode(CA.encode()).decode())
    use(HttpTransport(kubeconfig_connection(write(tmp_path / "k", data), None)))
    assert {seen.client for seen in seen_of(secure)} == {"me"}


def test_server_path_prefixes_every_request_path(secure: Script) -> None:
    transport = HttpTransport(Connection(f"{secure.url}/k8s/clusters/c-1", Trust(CA)))
    transport.send(Request("GET", PATH))
    with pytest.raises(ApiError):
        transport.exec("shop", "web-0", None, ["true"], 5)
    assert [seen.path for seen in secure.requests] == [f"/k8s/clusters/c-1{PATH}", f"/k8s/clusters/c-1{EXEC}"]


@pytest.fixture(params=["http", "socks5"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxied]:
    with proxying(request.param) as proxied:
        yield proxied


def test_everything_goes_through_the_proxy(proxy: Proxied, secure: Script, plain: Script) -> None:
    for script in (secure, plain):
        use(HttpTransport(Connection(script.url, Trust(CA), parse_proxy(proxy.url), impersonation=ME)))
        for seen in seen_of(script):
            assert seen.values("Impersonate-Group") == ["a", "b"]
        address = script.url.partition("://")[2]
        assert set(proxy.targets) == {address}
        # Requests may share a link to the proxy, a command has one of its own.
        assert len(proxy.targets) >= 2
        proxy.targets.clear()


def test_proxy_resolves_the_name(proxy: Proxied, secure: Script) -> None:
    """For ``socks5`` too, as in Go: the name may mean nothing on this side."""
    proxy.target = ("127.0.0.1", int(secure.url.rpartition(":")[2]))
    use(HttpTransport(Connection("https://api.test:6443", Trust(CA), parse_proxy(proxy.url))))
    assert set(proxy.targets) == {"api.test:6443"}


def test_proxy_gets_its_password(proxy: Proxied, secure: Script) -> None:
    socks = proxy.url.startswith("socks")
    proxy.password = "me:p@ss/" if socks else "Basic " + base64.b64encode(b"me:p@ss/").decode()
    parsed = parse_proxy(proxy.url.replace("://", "://me:p%40ss%2F@"))
    use(HttpTransport(Connection(secure.url, Trust(CA), parsed)))
    assert set(proxy.logins) == {proxy.password}
    assert [seen.values("Proxy-Authorization") for seen in seen_of(secure)] == [[]] * 4


def test_refusal_of_the_proxy_is_one_error_without_secrets(proxy: Proxied, secure: Script) -> None:
    proxy.password = "other"
    parsed = parse_proxy(proxy.url.replace("://", "://me:hunter2@"))
    transport = HttpTransport(Connection(secure.url, Trust(CA), parsed))
    for call in (
        lambda: transport.send(Request("GET", PATH)),
        lambda: transport.exec("shop", "web-0", None, ["true"], 5),
    ):
        with pytest.raises(ApiError) as caught:
            call()
        assert caught.value.status == 0
        assert "hunter2" not in str(caught.value)


def test_environment_proxy_is_not_used_for_loopback(tmp_path: Path, secure: Script, plain: Script) -> None:
    for script in (secure, plain):
        ca = {"certificate_authority_data": base64.b64encode(CA.encode()).decode()}
        file = write(tmp_path / "k", kubeconfig(script.url, **(ca if script is secure else {})))
        use(HttpTransport(kubeconfig_connection(file, None)))
        seen_of(script)


def test_environment_proxy_is_used_for_all_other_hosts(
    tmp_path: Path, secure: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = kubeconfig("https://api.test:6443", certificate_authority_data=base64.b64encode(CA.encode()).decode())
    file = write(tmp_path / "k", data)
    with proxying() as proxied:
        proxied.target = ("127.0.0.1", int(secure.url.rpartition(":")[2]))
        monkeypatch.setenv("https_proxy", proxied.url)
        use(HttpTransport(kubeconfig_connection(file, None)))
        assert set(proxied.targets) == {"api.test:6443"}
        monkeypatch.setenv("NO_PROXY", ".test")
        assert kubeconfig_connection(file, None).proxy is None


class Rotating:
    """Credentials of which the first is no longer accepted."""

    def __init__(self) -> None:
        self.token = "old"

    def current(self) -> Any:
        from harness.cluster.connection.credentials import Credential

        return Credential(f"Bearer {self.token}")

    def renew(self, rejected: Any) -> bool:
        self.token = "new"
        return True


def test_rejected_credentials_are_renewed_immediately(plain: Script) -> None:
    def handle(exchange: Exchange) -> None:
        if exchange.headers["Authorization"] == "Bearer new":
            answer(exchange)
        else:
            exchange.answer(401, {"kind": "Status", "reason": "Unauthorized", "message": "Unauthorized"})

    plain.handler = handle
    for call in (
        lambda transport: transport.send(Request("POST", PATH, body={"a": 1})),
        lambda transport: list(transport.stream(Request("GET", PATH, {"watch": "true"}))),
        lambda transport: transport.exec("shop", "web-0", None, ["true"], 10),
    ):
        plain.requests.clear()
        call(HttpTransport(Connection(plain.url, credentials=Rotating())))
        assert [seen.headers["Authorization"] for seen in plain.requests] == ["Bearer old", "Bearer new"]


def test_credentials_that_stay_rejected_are_an_error(plain: Script) -> None:
    plain.handler = lambda exchange: exchange.answer(401, {"reason": "Unauthorized", "message": "Unauthorized"})
    transport = HttpTransport(Connection(plain.url, credentials=Rotating()))
    with pytest.raises(ApiError, match="401 Unauthorized"):
        transport.send(Request("GET", PATH))
    with pytest.raises(ApiError, match="401 Unauthorized"):
        transport.exec("shop", "web-0", None, ["true"], 5)
    assert len(plain.requests) == 4
