"""The same kubeconfig means the same to kubectl and to the harness: generated files, compared with the real program.

Skipped where the local cluster's programs have not been built: ``harness cluster build``.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from harness.cluster.connection.connection import kubeconfig_connection
from harness.cluster.connection.files import load_kubeconfig
from harness.cluster.kube.transport import HttpTransport, Request
from harness.cluster.local.paths import cache_root
from harness.cluster.local.pki import Authority
from harness.common.errors import ApiError, ClusterUnreachable, KubeconfigInvalid
from tests.unit.cluster.connection.kubeconfigs import kubeconfig, write
from tests.unit.cluster.connection.proxy_server import Proxied, proxying
from tests.unit.cluster.http_server import Exchange, Script, serving

AUTHORITY = Authority("test")
CLIENT = AUTHORITY.issue("me")
CA = base64.b64encode(AUTHORITY.pem.certificate).decode()
SECONDS = 60
# kubectl takes 50 to 100 ms, and far longer on a busy machine.
FEW = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def programs() -> list[Path]:
    return sorted((cache_root() / "bin").glob("*/kubectl"), key=lambda path: path.stat().st_mtime)


pytestmark = pytest.mark.skipif(not programs(), reason="kubectl is not built: harness cluster build")


def kubectl(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(programs()[-1]), *arguments]
    whole = {"HOME": str(folder), "PATH": os.environ["PATH"], **environ}
    return subprocess.run(  # noqa: PLW1510 - what it refuses is compared
        command, cwd=folder, env=whole, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL
    )


NAMES = some.sampled_from(["a", "b.c", "d/e:f"])
PATHS = some.sampled_from(["", "x.crt", "sub/x.crt", "../x.crt", "/x.crt"])
CLUSTERS = some.fixed_dictionaries(
    {"server": some.sampled_from(["", "https://one", "https://two/path"])},
    optional={
        "certificate-authority": PATHS,
        "tls-server-name": some.sampled_from(["", "x"]),
        "insecure-skip-tls-verify": some.booleans(),
        "proxy-url": some.sampled_from(["", "http://proxy"]),
        "certificate-authority-data": some.sampled_from(["", "YWJj", "?"]) | some.none(),
        "unknown": some.integers(),
    },
)
USERS = some.fixed_dictionaries(
    {},
    optional={
        "token": some.sampled_from(["", "t", "u"]) | some.none(),
        "tokenFile": PATHS,
        "as": some.sampled_from(["", "x"]),
        "as-groups": some.lists(some.sampled_from(["g", "h"]), max_size=2) | some.none(),
        "client-key": PATHS,
    },
)
CONTEXTS = some.fixed_dictionaries({"cluster": NAMES, "user": NAMES})


def entries(key: str, values: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    entry = some.fixed_dictionaries({"name": NAMES, key: values | some.none()})
    return (
        some.none() | some.lists(entry, max_size=3, unique_by=lambda item: item["name"]) | some.lists(entry, max_size=2)
    )


FILES = some.one_of(
    some.sampled_from(["", "# nothing\n", "null\n", "- a list\n", "kind: Pod\n", "apiVersion: v2\n", None]),
    some.fixed_dictionaries(
        {},
        optional={
            "current-context": some.sampled_from(["", "a", "b.c", "not there", None]),
            "clusters": entries("cluster", CLUSTERS),
            "users": entries("user", USERS),
            "contexts": entries("context", CONTEXTS),
            "preferences": some.none() | some.just({}),
        },
    ).map(yaml.safe_dump),
)


def shown(folder: Path, kubeconfigs: str) -> dict[str, Any] | None:
    """The merged files as kubectl prints them, None when it refuses them."""
    done = kubectl("config", "view", "--raw", "-o", "json", folder=folder, KUBECONFIG=kubeconfigs)
    if done.returncode:
        return None
    found = json.loads(done.stdout)
    return {
        "current-context": found["current-context"],
        "clusters": {item["name"]: item["cluster"] for item in found["clusters"] or ()},
        "users": {item["name"]: item["user"] for item in found["users"] or ()},
        "contexts": {item["name"]: item["context"] for item in found["contexts"] or ()},
    }


def ours(folder: Path, kubeconfigs: str) -> dict[str, Any] | None:
    """The same of our own merge; empty values are left out as kubectl leaves them out."""
    try:
        found = load_kubeconfig(environ={"KUBECONFIG": kubeconfigs})
    except KubeconfigInvalid:
        return None

    def filled(section: Any, *always: str) -> dict[str, Any]:
        each = {}
        for name, source in section.items():
            data = source.entry.model_dump(by_alias=True)
            data |= {key: base64.b64encode(value).decode() for key, value in data.items() if isinstance(value, bytes)}
            each[name] = {key: value for key, value in data.items() if value or key in always}
        return each

    return {
        "current-context": found.current_context,
        "clusters": filled(found.clusters, "server"),
        "users": filled(found.users),
        "contexts": filled(found.contexts, "cluster", "user"),
    }


@FEW
@given(some.lists(FILES, min_size=1, max_size=3))
def test_files_are_merged_as_kubectl_merges_them(
    tmp_path_factory: pytest.TempPathFactory, contents: list[str | None]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    files = [folder / str(number) / "config" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.parent.mkdir()
        if content is not None:
            file.write_text(content)
    kubeconfigs = ":".join(map(str, files))
    assert ours(folder, kubeconfigs) == shown(folder, kubeconfigs)


@dataclass
class World:
    """An API server that answers at 127.0.0.1 and 0.0.0.0, and proxies that reach it."""

    folder: Path
    secure: Script
    plain: Script
    proxies: dict[str, Proxied] = field(default_factory=dict)

    def sent(self) -> list[Any]:
        """What arrived since the last call: at the server, and at the proxies on the way there."""
        found: list[Any] = [
            (
                seen.method,
                seen.path,
                seen.client,
                sorted(each for each in seen.fields if each[0] == "authorization" or each[0].startswith("impersonate")),
            )
            for script in (self.secure, self.plain)
            for seen in script.requests
        ]
        found += [(kind, proxy.targets[:1], proxy.logins[:1]) for kind, proxy in self.proxies.items()]
        for script in (self.secure, self.plain):
            script.requests.clear()
        for proxy in self.proxies.values():
            proxy.targets.clear()
            proxy.logins.clear()
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    server = AUTHORITY.issue("server", addresses=["127.0.0.1", "0.0.0.0", "api.test"])
    (folder / "server.pem").write_bytes(server.certificate + server.key)
    (folder / "ca.pem").write_bytes(AUTHORITY.pem.certificate)
    (folder / "token").write_text("from-file\n")
    (folder / "me.crt").write_bytes(CLIENT.certificate)
    (folder / "me.key").write_bytes(CLIENT.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    plugin = folder / "plugin"
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    printed = json.dumps({**credential, "status": {"token": "from-$WHO"}})
    plugin.write_text(f"#!/bin/sh\necho '{printed}' | sed s/.WHO/$WHO/\n")
    plugin.chmod(0o700)

    def answer(exchange: Exchange) -> None:
        exchange.answer(200, {"gitVersion": "v1.0.0"})

    with serving(context) as secure, serving() as plain, proxying() as http, proxying("socks5") as socks:
        secure.handler = plain.handler = answer
        port = int(secure.url.rpartition(":")[2])
        found = World(folder, secure, plain, {"http": http, "socks5": socks})
        for proxy in found.proxies.values():
            proxy.target = ("127.0.0.1", port)
        yield found


PLUGIN = {
    "command": "./plugin",
    "apiVersion": "client.authentication.k8s.io/v1",
    "interactiveMode": "Never",
    "env": [{"name": "WHO", "value": "plugin"}],
}
CONNECTING_USERS = some.fixed_dictionaries(
    {},
    optional={
        "as": some.sampled_from(["", "someone", "jürgen"]),
        "as-uid": some.sampled_from(["", "7"]),
        "as-groups": some.lists(some.sampled_from(["g", "h:i j"]), max_size=3),
        "as-user-extra": some.dictionaries(
            some.sampled_from(["k", "scopes/a b%", "ü"]),
            some.lists(some.sampled_from(["1", "2"]), max_size=2),
            max_size=2,
        ),
    },
).flatmap(
    lambda user: some.sampled_from(
        [
            {"token": "t"},
            {"tokenFile": "token"},
            {"token": "t", "tokenFile": "token"},
            {"username": "me", "password": "päss"},
            {"username": "me", "token": "t"},
            {"client-certificate": "me.crt", "client-key": "me.key"},
            {"client-certificate": "me.crt", "client-key": "me.key", "token": "t"},
            {"client-certificate": "me.crt"},
            {"exec": PLUGIN},
            {"exec": PLUGIN, "token": "t"},
            {"exec": {**PLUGIN, "interactiveMode": ""}},
            {"exec": {**PLUGIN, "apiVersion": "client.authentication.k8s.io/v1alpha1"}},
        ]
    ).map(lambda credentials: {**user, **credentials})
)


def compare(world: World, config: dict[str, Any], *, stricter: bool = False, **environ: str) -> list[Any]:
    """What kubectl and the harness send must be the same, or both must refuse; what kubectl sent.

    With ``stricter`` the harness may refuse by name what kubectl does not look at.
    """
    file = write(world.folder / "kubeconfig", config)
    world.sent()
    done = kubectl("get", "--raw", "/version", "--kubeconfig", str(file), folder=world.folder, **environ)
    theirs = world.sent()
    with mock.patch.dict(os.environ, environ):
        for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
            if name not in environ:
                os.environ.pop(name, None)
        try:
            HttpTransport(kubeconfig_connection(file, None)).send(Request("GET", "/version"))
            error = ""
        except (ApiError, ClusterUnreachable) as refused:
            error = str(refused)
            if stricter and isinstance(refused, KubeconfigInvalid) and not done.returncode:
                assert str(file) in error
                return theirs
    assert world.sent() == theirs, (done.stderr, error)
    assert bool(error) == bool(done.returncode), (done.stderr, error)
    return theirs


@FEW
@given(user=CONNECTING_USERS, path=some.sampled_from(["", "/", "/k8s/clusters/c-1/"]), secure=some.booleans())
def test_requests_are_those_of_kubectl(world: World, user: dict[str, Any], path: str, secure: bool) -> None:
    script = world.secure if secure else world.plain
    # kubectl does not look at most of the credentials that it will not send in clear text.
    compare(world, kubeconfig(f"{script.url}{path}", user, certificate_authority_data=CA), stricter=not secure)


@pytest.mark.parametrize(
    "server", ["127.0.0.1:{port}", "http://127.0.0.1:{port}/a/b/", "127.0.0.1:{port}/path", "HTTP://127.0.0.1:{port}"]
)
def test_server_is_the_one_of_kubectl(world: World, server: str) -> None:
    compare(world, kubeconfig(server.format(port=world.plain.url.rpartition(":")[2]), {"as": "x"}))


@pytest.mark.parametrize(
    "options",
    [
        {"certificate_authority": "ca.pem"},
        {"certificate_authority": "nowhere"},
        {"insecure_skip_tls_verify": True},
        {"insecure_skip_tls_verify": True, "certificate_authority_data": CA},
        {"certificate_authority_data": CA, "tls_server_name": "api.test"},
        {"certificate_authority_data": CA, "tls_server_name": "wrong.test"},
        {"certificate_authority_data": base64.b64encode(b"nonsense").decode()},
        {},
    ],
)
def test_server_trust_matches_kubectl(world: World, options: dict[str, Any]) -> None:
    compare(world, kubeconfig(world.secure.url, {"token": "t"}, **options))


@pytest.mark.parametrize("host", ["127.0.0.1", "api.test"])
@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_proxy_url_is_used_as_kubectl_uses_it(world: World, host: str, kind: str) -> None:
    server = f"https://{host}:{world.secure.url.rpartition(':')[2]}"
    proxy = world.proxies[kind].url
    login = proxy.replace("://", "://me:p%40ss@") if kind == "http" else proxy
    config = kubeconfig(server, {"token": "t", "as": "x"}, certificate_authority_data=CA, proxy_url=login)
    found = compare(world, config, NO_PROXY="*")
    assert [targets for name, targets, *_ in found[1:] if name == kind] == [[server.removeprefix("https://")]]


@FEW
@given(
    host=some.sampled_from(["127.0.0.1", "0.0.0.0"]),
    variable=some.sampled_from(["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"]),
    kind=some.sampled_from(["http", "socks5", "bare"]),
    no_proxy=some.lists(
        some.sampled_from(["0.0.0.0", "0.0.0.0/8", "0.0.0.0:PORT", "0.0.0.0:1", "*", "other", ".0", "", "0.0.0.0/99"]),
        max_size=2,
    ),
)
def test_environment_proxies_are_those_of_kubectl(
    world: World, host: str, variable: str, kind: str, no_proxy: list[str]
) -> None:
    """0.0.0.0 reaches this machine, but is no loopback address: it may be proxied."""
    port = world.secure.url.rpartition(":")[2]
    url = world.proxies["http" if kind == "bare" else kind].url
    environ = {variable: url.removeprefix("http://") if kind == "bare" else url}
    environ["no_proxy"] = ",".join(no_proxy).replace("PORT", port)
    config = kubeconfig(f"https://{host}:{port}", {"token": "t"}, certificate_authority_data=CA)
    compare(world, config, **environ)
