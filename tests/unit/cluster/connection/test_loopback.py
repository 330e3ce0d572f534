"""A proxy of the environment is never used for this machine's own loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from harness.cluster.connection.proxies import proxy_from_environment
from harness.cluster.kube.client import KubeApi
from harness.prometheus.access import PrometheusAccess
from harness.prometheus.client import Prometheus
from harness.prometheus.session import open_session

LOOPBACK = ("https://127.0.0.1:29950", "https://127.1.2.3", "http://localhost:30000", "https://[::1]:6443")
ELSEWHERE = ("https://10.0.0.1:6443", "https://api.example.test", "https://localhost.example.test", "https://[fd00::1]")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy at which nobody listens."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


class Answering(BaseHTTPRequestHandler):
    """Stands in for an API server and for a Prometheus."""

    def do_GET(self) -> None:
        body = b'{"gitVersion": "v1.36.3"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def proxies_of(url: str) -> object:
    """The proxies through which a session with Prometheus asks this address."""
    return open_session(PrometheusAccess()).merge_environment_settings(url, {}, False, None, None)["proxies"]


def test_api_server_on_loopback_is_dialled_directly(tmp_path: Path, url: str) -> None:
    file = tmp_path / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "clusters": [{"name": "one", "cluster": {"server": url}}],
        "users": [{"name": "one", "user": {}}],
    }
    file.write_text(yaml.safe_dump(config))
    api = KubeApi.connect(file, "one")
    assert api.version() == "v1.36.3"
    api.close()


def test_prometheus_on_loopback_is_dialled_directly(url: str) -> None:
    prometheus = Prometheus(url)
    assert prometheus.ready() is None
    prometheus.close()


@pytest.mark.parametrize("url", LOOPBACK)
def test_loopback_is_not_proxied(url: str) -> None:
    assert proxy_from_environment(url) is None
    assert not proxies_of(url)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_other_addresses_are_proxied(url: str) -> None:
    assert proxy_from_environment(url) is not None
    assert proxies_of(url)
