"""What a context means: server, trust, proxy, impersonation; and every problem of it at once, by its place."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.connection.connection import (
    Connection,
    in_cluster_connection,
    kubeconfig_connection,
    server_url,
)
from harness.cluster.connection.credentials import Impersonation
from harness.cluster.connection.exec_plugin import PluginCredentials
from harness.cluster.connection.tls import Identity
from harness.cluster.local.pki import Authority
from harness.common.errors import ClusterUnreachable, KubeconfigInvalid
from tests.unit.cluster.connection.kubeconfigs import kubeconfig, write

AUTHORITY = Authority("test")
CLIENT = AUTHORITY.issue("me")
CA = AUTHORITY.pem.certificate


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def data(content: bytes) -> str:
    return base64.b64encode(content).decode()


def connect(tmp_path: Path, config: dict[str, Any]) -> Connection:
    return kubeconfig_connection(write(tmp_path / "kubeconfig", config), None)


def problems(tmp_path: Path, config: dict[str, Any]) -> list[str]:
    with pytest.raises(KubeconfigInvalid) as caught:
        connect(tmp_path, config)
    place = f"{tmp_path}/kubeconfig:"
    assert all(str(problem).startswith(place) for problem in caught.value.problems)
    return [f"{problem.field}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://h:6443", "https://h:6443"),
        ("https://h/", "https://h"),
        ("https://rancher/k8s/clusters/c-1/", "https://rancher/k8s/clusters/c-1"),
        ("https://h/a?b=c#d", "https://h/a"),
        ("https://[fd00::1]:6443", "https://[fd00::1]:6443"),
        ("HTTPS://H", "https://h"),
        ("h:8080", "http://h:8080"),
        ("localhost", "http://localhost"),
    ],
)
def test_server_is_read_as_kubectl_reads_it(text: str, url: str) -> None:
    assert server_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://h",
        "https://",
        "h/path",
        "https://h:port",
        "https://h:99999",
        "https://[fd00::1",
        "https://a b",
        "://h",
    ],
)
def test_wrong_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected (a URL|one) such as"):
        server_url(text)


def test_password_in_the_server_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="found a user or a password in the URL") as caught:
        server_url("https://me:hunter2@h")
    assert "hunter2" not in str(caught.value)


def test_inline_data_takes_precedence_over_files(tmp_path: Path) -> None:
    user = {
        "client-certificate-data": data(CLIENT.certificate),
        "client-certificate": "nowhere",
        "client-key-data": data(CLIENT.key),
        "client-key": "nowhere",
    }
    config = kubeconfig(user=user, certificate_authority_data=data(CA), certificate_authority="nowhere")
    found = connect(tmp_path, config)
    assert found.trust.ca == CA.decode()
    assert found.credentials.current().identity == Identity(CLIENT.certificate, CLIENT.key)


def test_files_are_read_beside_their_kubeconfig(tmp_path: Path) -> None:
    for name, content in (("ca", CA), ("cert", CLIENT.certificate), ("key", CLIENT.key), ("token", b"abc\n")):
        (tmp_path / name).write_bytes(content)
    user = {"client-certificate": "cert", "client-key": "key", "tokenFile": "token"}
    found = connect(tmp_path, kubeconfig(user=user, certificate_authority="ca", tls_server_name="other"))
    assert (found.trust.ca, found.trust.server_name) == (CA.decode(), "other")
    assert found.credentials.current().identity == Identity(CLIENT.certificate, CLIENT.key)
    assert found.credentials.current().authorization == "Bearer abc"


def test_impersonation_is_read(tmp_path: Path) -> None:
    user = {"as": "jürgen", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"Some/key": ["1", "2"]}}
    found = connect(tmp_path, kubeconfig(user=user)).impersonation
    assert found == Impersonation("jürgen", "7", ("a", "b"), {"Some/key": ("1", "2")})
    assert found.headers() == [
        ("Impersonate-User", "jürgen"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-Some%2Fkey", "1"),
        ("Impersonate-Extra-Some%2Fkey", "2"),
    ]


def test_without_tls_nothing_secret_is_sent(tmp_path: Path) -> None:
    user = {"token": "abc", "as": "someone"}
    found = connect(tmp_path, kubeconfig("http://127.0.0.1:8001", user))
    assert found.credentials.current().authorization == ""
    assert found.impersonation.user == "someone"


def test_context_without_user_is_anonymous(tmp_path: Path) -> None:
    config = kubeconfig()
    del config["contexts"][0]["context"]["user"]
    assert connect(tmp_path, config).credentials.current().authorization == ""


@pytest.mark.parametrize(
    ("user", "authorization"),
    [
        ({"token": "abc"}, "Bearer abc"),
        ({"username": "me", "password": "pä"}, "Basic bWU6cMOk"),
        ({"username": "me"}, "Basic bWU6"),
        (
            {"token": "abc", "exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1beta1"}},
            "Bearer abc",
        ),
    ],
)
def test_user_is_authorized_as_kubectl_does(tmp_path: Path, user: dict[str, Any], authorization: str) -> None:
    assert connect(tmp_path, kubeconfig(user=user)).credentials.current().authorization == authorization


def test_reading_a_kubeconfig_runs_no_command(tmp_path: Path) -> None:
    plugin = {"command": "./touch", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    assert isinstance(connect(tmp_path, kubeconfig(user={"exec": plugin})).credentials, PluginCredentials)


EXEC = {"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "ca and insecure": (
        kubeconfig(certificate_authority_data=data(CA), insecure_skip_tls_verify=True),
        "clusters[0].cluster.insecure-skip-tls-verify: found true together with a certificate authority",
    ),
    "no pem": (
        kubeconfig(certificate_authority_data=data(b"nonsense")),
        "clusters[0].cluster.certificate-authority-data: found no valid certificate, expected one or more in PEM",
    ),
    "missing ca": (
        kubeconfig(certificate_authority="nowhere/ca.crt"),
        "clusters[0].cluster.certificate-authority: {folder}/nowhere/ca.crt cannot be read: No such file or directory",
    ),
    "no server": (kubeconfig(""), "clusters[0].cluster.server: missing, expected a URL such as"),
    "proxy scheme": (
        kubeconfig(proxy_url="ftp://p"),
        "clusters[0].cluster.proxy-url: found the scheme 'ftp', expected",
    ),
    "proxy without host": (
        kubeconfig(proxy_url="http://"),
        "clusters[0].cluster.proxy-url: found a URL without a valid",
    ),
    "missing token file": (
        kubeconfig(user={"tokenFile": "nowhere"}),
        "users[0].user.tokenFile: {folder}/nowhere cannot be read: No such file or directory",
    ),
    "two ways": (
        kubeconfig(user={"token": "a", "username": "b"}),
        "users[0].user.username: found it together with a token",
    ),
    "two ways, file": (
        kubeconfig(user={"tokenFile": "/dev/null", "username": "b"}),
        "users[0].user.username: found it together with a token",
    ),
    "line end": (kubeconfig(user={"token": "a\r\nX: y"}), "users[0].user.token: found a control character"),
    "certificate alone": (
        kubeconfig(user={"client-certificate-data": data(CLIENT.certificate)}),
        "users[0].user: found a client certificate without client-key-data or client-key",
    ),
    "wrong key": (
        kubeconfig(
            user={
                "client-certificate-data": data(CLIENT.certificate),
                "client-key-data": data(AUTHORITY.issue("other").key),
            }
        ),
        "users[0].user.client-certificate-data: found no valid pair of certificate and key",
    ),
    "auth provider": (
        kubeconfig(user={"auth-provider": {"name": "oidc"}}),
        "users[0].user.auth-provider: found 'oidc', expected `exec`: auth providers are not supported",
    ),
    "groups without user": (kubeconfig(user={"as-groups": ["a"]}), "users[0].user.as-groups: found it without `as`"),
    "plug-in of an old version": (
        kubeconfig(user={"exec": {**EXEC, "apiVersion": "client.authentication.k8s.io/v1alpha1"}}),
        "users[0].user.exec.apiVersion: found 'client.authentication.k8s.io/v1alpha1', expected",
    ),
    "no command": (kubeconfig(user={"exec": {**EXEC, "command": ""}}), "users[0].user.exec.command: missing"),
    "mode": (
        kubeconfig(user={"exec": {**EXEC, "interactiveMode": ""}}),
        "users[0].user.exec.interactiveMode: found '', expected one of Never, IfAvailable, Always",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_refused_by_kubectl_are_refused_by_name(tmp_path: Path, case: str) -> None:
    config, message = REFUSED[case]
    (found,) = problems(tmp_path, config)
    assert found.startswith(message.format(folder=tmp_path))


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    config = kubeconfig(
        "", {"auth-provider": {"name": "gcp"}, "as-uid": "1"}, proxy_url="x", certificate_authority="nowhere"
    )
    fields = [found.split(": ")[0].rpartition(".")[2] for found in problems(tmp_path, config)]
    assert fields == ["server", "certificate-authority", "proxy-url", "as-uid", "auth-provider"]


def test_missing_references_are_named(tmp_path: Path) -> None:
    config = kubeconfig()
    config["contexts"][0]["context"] = {"cluster": "other.cluster", "user": "other.user"}
    assert problems(tmp_path, config) == [
        "contexts[0].context.cluster: found 'other.cluster', expected one of the clusters: c",
        "contexts[0].context.user: found 'other.user', expected one of the users: u",
    ]
    with pytest.raises(KubeconfigInvalid, match=f"kubeconfig {tmp_path}/kubeconfig has no context 'b.c'; it has: ctx"):
        kubeconfig_connection(tmp_path / "kubeconfig", "b.c")


def test_invalid_entries_of_other_contexts_are_ignored(tmp_path: Path) -> None:
    config = kubeconfig()
    config["clusters"].append({"name": "other", "cluster": {"certificate-authority": "nowhere"}})
    assert connect(tmp_path, config).server == "https://192.0.2.1:6443"


def test_proxy_url_takes_precedence_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for loopback, as in kubectl: the other end of a tunnel has a loopback of its own."""
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    monkeypatch.setenv("NO_PROXY", "*")
    found = connect(tmp_path, kubeconfig("https://127.0.0.1:1", proxy_url="socks5://me:hunter2@proxy"))
    assert found.proxy
    assert (str(found.proxy), found.proxy.password) == ("socks5h://proxy:1080", "hunter2")
    assert "hunter2" not in repr(found)


def test_environment_names_a_proxy_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks4://me:hunter2@proxy")
    with pytest.raises(
        KubeconfigInvalid, match=r"^environment variable https_proxy: found the scheme 'socks4'"
    ) as found:
        connect(tmp_path, kubeconfig())
    assert "hunter2" not in str(found.value)


def test_pod_connects_as_its_service_account(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    (tmp_path / "ca.crt").write_bytes(CA)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "HTTPS_PROXY": "http://p:1"}
    found = in_cluster_connection(tmp_path, environ)
    assert found.server == "https://[fd00::1]:443"
    assert found.credentials.current().authorization == "Bearer abc"
    assert str(found.proxy) == "http://p:1"


def test_outside_of_a_pod_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachable, match="this process does not run in a pod"):
        in_cluster_connection(tmp_path, {})
    environ = {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ClusterUnreachable, match=f"no ServiceAccount: {tmp_path}/ca.crt: No such file"):
        in_cluster_connection(tmp_path, environ)
    (tmp_path / "ca.crt").write_text("nonsense")
    with pytest.raises(ClusterUnreachable, match="found no valid certificate"):
        in_cluster_connection(tmp_path, environ)
    (tmp_path / "ca.crt").write_bytes(CA)
    with pytest.raises(ClusterUnreachable, match=f"{tmp_path}/token cannot be read: No such file"):
        in_cluster_connection(tmp_path, environ)
