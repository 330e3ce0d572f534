"""Prometheus is reached through the same proxies as the API server."""

from __future__ import annotations

import pytest

from harness.common.errors import InputError
from harness.prometheus.client import Prometheus
from tests.unit.cluster.connection.proxy_server import proxying
from tests.unit.cluster.http_server import serving


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that nobody answers at."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_loopback_is_never_proxied() -> None:
    with serving() as script:
        assert Prometheus(script.url).ready() is None
    assert [seen.path for seen in script.requests] == ["/-/ready"]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_other_hosts_are_proxied(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    with serving() as script, proxying(scheme) as proxied:
        proxied.target = ("127.0.0.1", int(script.url.rpartition(":")[2]))
        monkeypatch.setenv("http_proxy", proxied.url)
        assert Prometheus("http://prometheus.test:9090").ready() is None
        assert proxied.targets == ["prometheus.test:9090"]
        monkeypatch.setenv("NO_PROXY", "*.test")
        assert Prometheus("http://prometheus.test:9090").ready() is not None
        monkeypatch.setenv("NO_PROXY", "192.0.2.0/24")
        assert Prometheus("http://192.0.2.7:9090").ready() is not None
    assert proxied.targets == ["prometheus.test:9090"]


def test_unusable_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "gopher://me:hunter2@proxy")
    with pytest.raises(InputError, match="environment variable http_proxy: found the scheme 'gopher'"):
        Prometheus("http://prometheus.test:9090").ready()
