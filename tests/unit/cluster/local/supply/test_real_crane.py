"""Pulls with the real crane from registries on loopback."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.cluster.local.paths import CACHE_VARIABLE, cache_root
from harness.cluster.local.supply.pull import Limits, Puller, PullFailed
from harness.cluster.local.supply.store import ImageStore, files_of
from tests.unit.cluster.local.supply.image_archives import Layout, silent

BUILT = sorted((cache_root() / "bin").glob("*/crane"))
pytestmark = pytest.mark.skipif(not BUILT, reason="crane is not built: harness cluster build")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    # Without credentials and proxies of the machine that runs the tests.
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return ImageStore.of_cache()


@pytest.fixture
def registry() -> Iterator[str]:
    """The address of an empty registry."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with subprocess.Popen([BUILT[0], "registry", "serve", f"--address={address}"], stderr=subprocess.DEVNULL) as child:
        host, _, port = address.partition(":")
        for _ in range(200):
            with suppress(OSError), socket.create_connection((host, int(port)), 1):
                break
            time.sleep(0.02)
        yield address
        child.terminate()


class Refusing(BaseHTTPRequestHandler):
    """A registry that accepts no credentials, or never answers for the repository ``slow``."""

    def do_GET(self) -> None:
        if "/slow/" in self.path:
            time.sleep(3)
            return
        self.send_response(200 if self.path == "/v2/" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of http.server
        """Print nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def puller(store: ImageStore, answer: float = 20.0) -> Puller:
    return Puller(BUILT[0], store, "linux/amd64", limits=Limits(answer=answer))


def test_pushed_image_is_pulled_with_its_digest(store: ImageStore, registry: str, tmp_path: Path) -> None:
    layout, name = Layout(), f"{registry}/shop/web:1"
    layout.name(layout.manifest())
    subprocess.run([BUILT[0], "push", layout.unpack(tmp_path / "layout"), name], check=True, capture_output=True)
    pushed = subprocess.run([BUILT[0], "digest", name], check=True, capture_output=True, text=True).stdout.strip()
    pulling = puller(store)
    found = pulling.resolve(name)
    image = pulling.pull(found, silent)
    assert image.digest == pushed
    assert image.platforms == ("linux/amd64",)
    assert len(files_of(store.blobs, image.descriptor)) == 3
    assert pulling.resolve(f"{registry}/shop/web@{pushed}").root == found.root


def test_missing_image_is_reported(store: ImageStore, registry: str) -> None:
    with pytest.raises(PullFailed, match=rf"{registry} has no shop/none:1") as caught:
        puller(store).resolve(f"{registry}/shop/none:1")
    assert caught.value.reachable


def test_refused_credentials_are_reported(store: ImageStore, refusing: str) -> None:
    with pytest.raises(PullFailed, match=rf"{refusing} refused shop/web \(log in with `docker login {refusing}`\)"):
        puller(store).resolve(f"{refusing}/shop/web:1")


def test_slow_registry_is_given_up(store: ImageStore, refusing: str) -> None:
    with pytest.raises(PullFailed, match=rf"{refusing} did not answer within 0.5 s") as caught:
        puller(store, answer=0.5).resolve(f"{refusing}/slow/web:1")
    assert not caught.value.reachable


def test_registry_that_is_not_there_is_reported(store: ImageStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(PullFailed, match=rf"{address} cannot be reached from this machine: .*refused"):
        puller(store).resolve(f"{address}/shop/web:1")
