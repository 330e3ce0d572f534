"""Kubeconfigs in a whole pytest session, in a process of its own: a sentence with the file's name, and no traceback."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cluster.local.pki import Authority
from harness.pytest_plugin.plugin import CLUSTER_UNUSABLE
from tests.unit.cluster.connection.kubeconfigs import kubeconfig, write
from tests.unit.cluster.http_server import serving

ROOT = Path(__file__).resolve().parents[2]


def session(folder: Path, *options: str) -> str:
    """What a session with one test that needs a cluster prints; it must end with the code for that."""
    (folder / "test_it.py").write_text("def test_it(cluster): pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:locust", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [*command, f"--kubeconfig={folder}/kubeconfig", f"--rootdir={folder}", "test_it.py"],
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert done.returncode == CLUSTER_UNUSABLE, said
    assert "INTERNALERROR" not in said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("content", [b"current-context: [x", b"- a\n", b"\xff"])
def test_wrong_kubeconfig_ends_the_session(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kubeconfig").write_bytes(content)
    assert f"KubeconfigInvalid: {tmp_path}/kubeconfig:" in session(tmp_path, "--cluster=current")


def test_error_of_a_failed_plugin_is_shown(tmp_path: Path) -> None:
    (tmp_path / "plugin").write_text("#!/bin/sh\necho The SSO session has expired >&2\nexit 255\n")
    (tmp_path / "plugin").chmod(0o700)
    plugin = {"command": "./plugin", "apiVersion": "client.authentication.k8s.io/v1beta1"}
    data = kubeconfig("https://127.0.0.1:1", {"exec": plugin})
    data["current-context"] = data["contexts"][0]["name"] = "kind-x"
    write(tmp_path / "kubeconfig", data)
    said = session(tmp_path, "--cluster=current")
    assert f"{tmp_path}/kubeconfig: user u: exec plug-in {tmp_path}/plugin failed with exit code 255" in said
    assert said.count("The SSO session has expired") == 1


def test_unverified_server_with_warnings_as_errors(tmp_path: Path) -> None:
    server = Authority("test").issue("server", addresses=["127.0.0.1"])
    (tmp_path / "server.pem").write_bytes(server.certificate + server.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    with serving(context) as script:
        script.handler = lambda exchange: exchange.answer(403, {"reason": "Forbidden", "message": "the answer"})
        data = kubeconfig(script.url, {"token": "t"}, insecure_skip_tls_verify=True)
        data["current-context"] = data["contexts"][0]["name"] = "kind-x"
        write(tmp_path / "kubeconfig", data)
        assert "403 Forbidden: GET /version: the answer" in session(tmp_path, "--cluster=current", "-W", "error")
