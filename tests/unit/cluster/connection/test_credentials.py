"""Credentials are kept fresh: token files, certificate files and exec plug-ins."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.connection import exec_plugin
from harness.cluster.connection.credentials import UserCredentials
from harness.cluster.connection.exec_plugin import Plugin, PluginCredentials
from harness.cluster.local.pki import Authority
from harness.common.clock import FakeClock
from harness.common.errors import CredentialsFailed

V1 = "client.authentication.k8s.io/v1"
CLIENT = Authority("test").issue("me")


def test_token_file_is_read_again_after_a_minute(tmp_path: Path, fake_clock: FakeClock) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    credentials = UserCredentials(token_file=file, clock=fake_clock)
    file.write_text("second\n")
    fake_clock.advance(49)
    assert credentials.current().authorization == "Bearer first"
    fake_clock.advance(1)
    assert credentials.current().authorization == "Bearer second"


def test_token_file_is_read_again_after_a_401(tmp_path: Path, fake_clock: FakeClock) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    credentials = UserCredentials(token_file=file, clock=fake_clock)
    first = credentials.current()
    assert not credentials.renew(first), "there is no other to try"
    file.write_text("second")
    assert credentials.renew(first)
    assert credentials.current().authorization == "Bearer second"
    assert credentials.renew(first), "another thread has renewed it already"


def test_last_token_is_kept_while_its_file_is_missing(tmp_path: Path, fake_clock: FakeClock) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    credentials = UserCredentials(token_file=file, clock=fake_clock)
    file.unlink()
    fake_clock.advance(60)
    assert credentials.current().authorization == "Bearer first"


def test_token_file_takes_precedence_over_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("file")
    assert UserCredentials("Bearer x", token_file=tmp_path / "token").current().authorization == "Bearer file"
    assert UserCredentials("Bearer x", token_file=tmp_path / "nowhere").current().authorization == "Bearer x"


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "nothing"), (b"a\nb", "several lines"), (b"\xff", "invalid UTF-8")]
)
def test_token_file_without_a_token_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(CredentialsFailed, match=f"{tmp_path}/token: found .*{found}"):
        UserCredentials(token_file=tmp_path / "token")


def test_certificate_files_are_read_again(tmp_path: Path, fake_clock: FakeClock) -> None:
    other = Authority("test").issue("other")
    files = tmp_path / "crt", tmp_path / "key"

    def store(certificate: bytes, key: bytes) -> None:
        files[0].write_bytes(certificate)
        files[1].write_bytes(key)
        fake_clock.advance(60)

    store(CLIENT.certificate, CLIENT.key)
    credentials = UserCredentials(identity_files=files, clock=fake_clock)
    first = credentials.current().identity
    # In the middle of a rotation one is new and the other is not.
    store(other.certificate, CLIENT.key)
    assert credentials.current().identity == first
    store(other.certificate, other.key)
    found = credentials.current().identity
    assert found
    assert (found.certificate, found.key) == (other.certificate, other.key)


class Script:
    """An exec plug-in: a Python program that counts its runs and does what ``body`` says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.plugin = Plugin(sys.executable, (str(folder / "plugin.py"),), {}, V1, "IfAvailable", "", None, "k: user u")

    def does(self, body: str) -> None:
        count = f"open({str(self.runs)!r}, 'a').write('x')"
        (self.folder / "plugin.py").write_text(f"import json, os, sys\n{count}\n{body}\n")

    def prints(self, expires: float | None = None, **status: Any) -> None:
        if expires is not None:
            status["expirationTimestamp"] = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.does(f"print({json.dumps({'apiVersion': V1, 'kind': 'ExecCredential', 'status': status})!r})")

    @property
    def count(self) -> int:
        return len(self.runs.read_text()) if self.runs.exists() else 0


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def failure(plugin: Plugin) -> str:
    with pytest.raises(CredentialsFailed) as caught:
        PluginCredentials(plugin).current()
    assert not caught.value.retryable
    return str(caught.value)


def test_plugin_is_run_once_for_many_requests(script: Script) -> None:
    script.prints(token="abc")
    credentials = PluginCredentials(script.plugin)
    assert script.count == 0
    assert [credentials.current().authorization for _ in range(3)] == ["Bearer abc"] * 3
    assert script.count == 1


def test_error_of_a_failed_exec_plugin_is_shown(script: Script) -> None:
    script.does("sys.stderr.write('The SSO session has \\x1b[1mexpired\\n'); sys.exit(255)")
    assert failure(script.plugin) == (
        f"CredentialsFailed: k: user u: exec plug-in {sys.executable} failed with exit code 255: "
        "The SSO session has  [1mexpired"
    )


def test_failed_plugin_is_not_run_by_every_thread(script: Script, fake_clock: FakeClock) -> None:
    script.does("sys.exit(1)")
    credentials = PluginCredentials(script.plugin, fake_clock)
    for _ in range(3):
        with pytest.raises(CredentialsFailed, match="exit code 1: it wrote nothing to stderr"):
            credentials.current()
    assert script.count == 1
    fake_clock.advance(exec_plugin.PAUSE)
    script.prints(token="abc")
    assert credentials.current().authorization == "Bearer abc"


def test_plugin_is_run_before_its_credentials_expire(script: Script, fake_clock: FakeClock) -> None:
    credentials = PluginCredentials(script.plugin, fake_clock)
    script.prints(fake_clock.wall() + 900, token="first")
    credentials.current()
    script.prints(token="second")
    fake_clock.advance(900 - exec_plugin.LEEWAY - 1)
    assert credentials.current().authorization == "Bearer first"
    fake_clock.advance(1)
    assert credentials.current().authorization == "Bearer second"


def test_plugin_that_fails_early_leaves_valid_credentials(script: Script, fake_clock: FakeClock) -> None:
    credentials = PluginCredentials(script.plugin, fake_clock)
    script.prints(fake_clock.wall() + 900, token="first")
    credentials.current()
    script.does("sys.exit(1)")
    fake_clock.advance(880)
    assert credentials.current().authorization == "Bearer first"
    fake_clock.advance(20)
    with pytest.raises(CredentialsFailed):
        credentials.current()


def test_plugin_with_a_cache_is_not_run_for_every_request(script: Script, fake_clock: FakeClock) -> None:
    credentials = PluginCredentials(script.plugin, fake_clock)
    script.prints(fake_clock.wall() + 10, token="almost over")
    for _ in range(3):
        credentials.current()
    assert script.count == 1


def test_plugin_is_run_again_after_a_401(script: Script, fake_clock: FakeClock) -> None:
    credentials = PluginCredentials(script.plugin, fake_clock)
    script.prints(token="first")
    first = credentials.current()
    assert not credentials.renew(first), "it was run just now"
    fake_clock.advance(exec_plugin.PAUSE)
    assert not credentials.renew(first), "it printed the same again"
    fake_clock.advance(exec_plugin.PAUSE)
    script.prints(token="second")
    assert credentials.renew(first)
    assert credentials.current().authorization == "Bearer second"


def test_plugin_prints_a_certificate(script: Script) -> None:
    script.prints(clientCertificateData=CLIENT.certificate.decode(), clientKeyData=CLIENT.key.decode())
    found = PluginCredentials(script.plugin).current()
    assert found.identity
    assert (found.authorization, found.identity.key) == ("", CLIENT.key)


def test_plugin_gets_its_environment(script: Script) -> None:
    script.does(
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': "
        "{'token': os.environ['MINE'] + os.environ['KUBERNETES_EXEC_INFO'].replace('\"', '')}}))"
    )
    plugin = replace(script.plugin, env={"MINE": "mine "}, cluster={"server": "https://h", "config": None})
    assert PluginCredentials(plugin).current().authorization == (
        f"Bearer mine {{kind: ExecCredential, apiVersion: {V1}, "
        "spec: {interactive: false, cluster: {server: https://h, config: null}}}"
    )


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("", "printed no JSON, expected an ExecCredential"),
        ("secret", "printed no JSON, expected an ExecCredential"),
        ("[]", "missing or wrong fields: the whole"),
        ({"kind": "ExecCredential", "apiVersion": V1}, "missing or wrong fields: status"),
        ({"kind": "ExecCredential", "apiVersion": V1, "status": {"token": 7}}, "missing or wrong fields: status.token"),
        ({"kind": "Pod", "apiVersion": "v1", "status": {"token": "secret"}}, f"printed Pod of v1, expected .* of {V1}"),
        ({"kind": "ExecCredential", "apiVersion": V1, "status": {}}, "printed no token and no certificate"),
        (
            {"kind": "ExecCredential", "apiVersion": V1, "status": {"clientKeyData": "secret"}},
            "printed a certificate or a key, expected both",
        ),
        (
            {"kind": "ExecCredential", "apiVersion": V1, "status": {"token": "secret\r\nX: y"}},
            "printed a token of several lines, expected one",
        ),
        (
            {
                "kind": "ExecCredential",
                "apiVersion": V1,
                "status": {"clientKeyData": "secret", "clientCertificateData": "secret"},
            },
            "clientCertificateData and clientKeyData: found no valid pair of certificate and key",
        ),
        (
            {"kind": "ExecCredential", "apiVersion": V1, "status": {"token": "secret", "expirationTimestamp": "soon"}},
            "printed the expirationTimestamp soon, expected one such as",
        ),
    ],
)
def test_wrong_output_is_named_and_not_shown(script: Script, printed: Any, message: str) -> None:
    script.does(f"print({printed if isinstance(printed, str) else json.dumps(printed)!r})")
    said = failure(script.plugin)
    assert "secret" not in said
    with pytest.raises(CredentialsFailed, match=message):
        PluginCredentials(script.plugin).current()


def test_missing_plugin_shows_its_install_hint(script: Script) -> None:
    plugin = replace(script.plugin, command="no-such-plugin", install_hint="brew install it")
    expected = "exec plug-in no-such-plugin is not installed or cannot be executed; brew install it"
    assert failure(plugin).endswith(expected)
    (script.folder / "text").write_text("no program")
    assert "is not installed or cannot be executed" in failure(replace(plugin, command=str(script.folder / "text")))


def test_plugin_that_needs_a_terminal_is_not_run(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_plugin.os, "isatty", lambda _: False)
    script.prints(token="abc")
    assert "needs a terminal (interactiveMode Always), and there is none" in failure(
        replace(script.plugin, interactive_mode="Always")
    )
    assert script.count == 0


def test_hanging_exec_plugin_times_out(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_plugin, "TIMEOUT", 0.0)
    script.does(
        "sys.stderr.write('open a browser'); sys.stderr.flush(); sys.stdin.read() or __import__('time').sleep(60)"
    )
    assert "did not end within 0 s" in failure(script.plugin)


def test_interactive_plugin_shows_its_words(
    script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exec_plugin.os, "isatty", lambda _: True)
    script.does("sys.stderr.write('enter the code 1234'); sys.exit(1)")
    assert failure(script.plugin).endswith("enter the code 1234")
    assert capsys.readouterr().err == "enter the code 1234"


def test_plugin_process_is_waited_for(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(exec_plugin.subprocess, "Popen", Popen)
    monkeypatch.setattr(exec_plugin, "TIMEOUT", 0.0)
    script.does("import time; time.sleep(60)")
    failure(script.plugin)
    assert started[0].returncode is not None
