"""Kubeconfigs of any content: a connection comes out, or one error that names the file, and nothing else."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from harness.cli import main
from harness.cluster.connection.connection import Connection, kubeconfig_connection
from harness.cluster.kube.transport import HttpTransport, Request
from harness.cluster.local.pki import Authority
from harness.common.errors import ApiError, ClusterUnreachable, InputError
from tests.unit.cluster.connection.kubeconfigs import kubeconfig
from tests.unit.experiment.test_hostile_files import SCALARS, places

AUTHORITY = Authority("test")
CLIENT = AUTHORITY.issue("me")


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


PLUGIN = {
    "command": "./no-such-plugin",
    "args": ["a"],
    "env": [{"name": "A", "value": "b"}],
    "apiVersion": "client.authentication.k8s.io/v1beta1",
    "installHint": "install it",
    "provideClusterInfo": True,
    "interactiveMode": "Never",
}
WHOLE = [
    kubeconfig(
        "https://127.0.0.1:1/path",
        {
            "token": "secret",
            "as": "a",
            "as-uid": "b",
            "as-groups": ["c"],
            "as-user-extra": {"d": ["e"]},
            "client-certificate-data": encoded(CLIENT.certificate),
            "client-key-data": encoded(CLIENT.key),
        },
        certificate_authority_data=encoded(AUTHORITY.pem.certificate),
        tls_server_name="f",
        extensions=[{"name": "g", "extension": {}}],
    ),
    kubeconfig("https://127.0.0.1:1", {"exec": PLUGIN}, insecure_skip_tls_verify=True, disable_compression=True),
    kubeconfig("127.0.0.1:1", {"username": "a", "password": "secret"}, proxy_url="socks5://a:secret@127.0.0.1:1"),
    kubeconfig("https://[::1]:1", {"tokenFile": "token", "client-certificate": "cert", "client-key": "key"}),
]
VALUES = SCALARS | some.sampled_from(
    [
        "https://",
        "http://[",
        "https://h:99999",
        "socks5://",
        "http://\x00",
        "https://ü.example",
        "/",
        "..",
        "/dev/null",
        "/proc/self/mem",
        "~",
        "LS0tLS1CRUdJTg==",
        "-----BEGIN CERTIFICATE-----",
        "a\r\nb",
        {"a": []},
        ["a"],
        [None],
        {},
        [],
    ]
)


@some.composite
def changed(draw: some.DrawFn) -> dict[str, Any]:
    """A good kubeconfig, of which a few fields have another value, are gone, or have another name."""
    data = copy.deepcopy(draw(some.sampled_from(WHOLE)))
    for _ in range(draw(some.integers(1, 3))):
        *way, last = draw(some.sampled_from(places(data)))
        parent: Any = data
        for key in way:
            parent = parent[key]
        match draw(some.sampled_from(["value", "value", "gone", "name"])):
            case "value":
                parent[last] = draw(VALUES)
            case "gone":
                del parent[last]
            case _ if isinstance(parent, dict):
                parent[draw(some.text(max_size=8))] = parent.pop(last)
        if not data:
            break
    return data


def connect(file: Path) -> Connection | None:
    """The connection that a file means; None after an error that can be printed and names the file."""
    try:
        return kubeconfig_connection(file, None)
    except ClusterUnreachable as error:
        found = error
    if isinstance(found, InputError):
        assert found.problems
        assert all(problem.message for problem in found.problems)
    assert str(found).encode()
    assert str(file) in str(found)
    assert "secret" not in str(found)
    return None


def check(folder: Path, content: bytes) -> None:
    file = folder / "kubeconfig"
    folder.mkdir(exist_ok=True)
    file.write_bytes(content)
    connection = connect(file)
    if connection is None:
        return
    assert "secret" not in repr(connection)
    if "127.0.0.1:1" not in connection.server or connection.proxy:
        return
    transport = HttpTransport(connection)
    for call in (
        lambda: transport.send(Request("GET", "/version", timeout=0.2)),
        lambda: transport.exec("ns", "pod", None, ["true"], 0.2),
    ):
        with pytest.raises(ApiError) as caught:
            call()
        assert "secret" not in str(caught.value)


@settings(max_examples=120, deadline=None)
@given(changed())
def test_changed_kubeconfig_connects_or_is_a_problem(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    # JSON is YAML, and writes half of a character as an escape.
    check(tmp_path_factory.getbasetemp() / "changed", json.dumps(data).encode())


@settings(max_examples=60, deadline=None)
@given(some.sampled_from(WHOLE), some.data())
def test_spoilt_kubeconfig_connects_or_is_a_problem(
    tmp_path_factory: pytest.TempPathFactory, whole: dict[str, Any], data: some.DataObject
) -> None:
    content = yaml.safe_dump(whole).encode()
    at, gone = data.draw(some.integers(0, len(content))), data.draw(some.integers(0, 40))
    instead = data.draw(some.binary(max_size=12) | some.sampled_from([b"\t", b"- ", b": ", b"\n", b"{", b"&a *a"]))
    check(tmp_path_factory.getbasetemp() / "spoilt", content[:at] + instead + content[at + gone :])


COMMANDS = {
    "halt": ["halt"],
    "sweep": ["sweep", "--dry-run"],
    "calibrate": ["calibrate", "--cluster=current"],
    "calibrate auto": ["calibrate", "--cluster=auto"],
}


WRONG = [
    b"current-context: [x",
    b"- a\n",
    b"\xff",
    b"users: 1",
    b'{"current-context": "kind-x", "contexts": [{}]}',
    b'{"current-context": "kind-x", "contexts": [{"name": "kind-x"}]}',
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("content", WRONG)
def test_command_names_the_wrong_kubeconfig(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, content: bytes
) -> None:
    file = tmp_path / "kubeconfig"
    file.write_bytes(content)
    assert main.main([*COMMANDS[command], "--kubeconfig", str(file)]) == 2
    said = capsys.readouterr().err.strip()
    assert str(file) in said
    assert len(said.splitlines()) == 1


def no_local_cluster(*_: object) -> None:
    raise ClusterUnreachable("none is made for this test")


@pytest.mark.parametrize("command", COMMANDS)
def test_command_takes_the_context_that_kubectl_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for name in ("a", "b"):
        data = kubeconfig(f"http://127.0.0.1:1/{name}")
        data["clusters"][0]["name"] = data["contexts"][0]["context"]["cluster"] = f"cluster-{name}"
        data["contexts"][0]["name"] = data["current-context"] = f"kind-{name}"
        (tmp_path / name).write_text(yaml.safe_dump(data))
    (tmp_path / "empty").write_text('current-context: ""')
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/empty:{tmp_path}/a:{tmp_path}/b")
    asked: list[str] = []

    def refuse(transport: HttpTransport, _request: Request) -> bytes:
        asked.append(transport.server)
        raise ApiError(403, "Forbidden", "no")

    monkeypatch.setattr(HttpTransport, "send", refuse)
    monkeypatch.setattr("harness.engine.choose_cluster.kind.available", lambda: "not here")
    monkeypatch.setattr("harness.engine.choose_cluster._local", no_local_cluster)
    assert main.main(COMMANDS[command]) == 1
    assert set(asked) == {"http://127.0.0.1:1/a"}
