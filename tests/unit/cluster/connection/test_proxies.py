"""Proxies of the environment by the rules of Go's net/http, which are kubectl's."""

from __future__ import annotations

import pytest

from harness.cluster.connection.proxies import parse_proxy, proxy_from_environment
from harness.common.errors import InputError

PROXY = {"HTTPS_PROXY": "http://proxy:3128", "HTTP_PROXY": "http://plain:3128"}


def proxied(url: str, no_proxy: str = "", **environ: str) -> str:
    return str(proxy_from_environment(url, {**PROXY, "NO_PROXY": no_proxy, **environ}) or "")


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1:6443", "https://127.9.9.9", "https://localhost:1", "https://LOCALHOST", "wss://[::1]:6443"],
)
def test_loopback_is_never_proxied(url: str) -> None:
    assert proxied(url) == ""


def test_scheme_chooses_the_variable() -> None:
    assert proxied("https://api") == proxied("wss://api") == "http://proxy:3128"
    assert proxied("http://api") == proxied("ws://api") == "http://plain:3128"
    assert proxy_from_environment("https://api", {"HTTP_PROXY": "http://plain:3128", "ALL_PROXY": "http://p:1"}) is None


def test_lower_case_takes_precedence_and_empty_is_unset() -> None:
    assert proxied("https://api", https_proxy="http://lower:1") == "http://lower:1"
    assert proxied("https://api", https_proxy="") == "http://proxy:3128"
    assert proxied("https://api", no_proxy="*") == ""
    assert proxy_from_environment("https://api", {**PROXY, "no_proxy": "other", "NO_PROXY": "api"}) is not None


@pytest.mark.parametrize(
    ("entry", "url", "direct"),
    [
        ("*", "https://api", True),
        ("example.com", "https://example.com", True),
        ("example.com", "https://api.example.com", True),
        ("example.com", "https://notexample.com", False),
        (".example.com", "https://api.example.com", True),
        (".example.com", "https://example.com", False),
        ("*.example.com", "https://api.example.com", True),
        ("*.example.com", "https://example.com", False),
        ("EXAMPLE.com", "https://api.Example.COM", True),
        ("example.com:6443", "https://example.com:6443", True),
        ("example.com:6443", "https://example.com", False),
        ("example.com:443", "https://example.com", True),
        ("other, example.com", "https://example.com", True),
        ("192.0.2.1", "https://192.0.2.1:6443", True),
        ("192.0.2.1", "https://192.0.2.10", False),
        ("192.0.2.1:6443", "https://192.0.2.1:6443", True),
        ("192.0.2.1:6443", "https://192.0.2.1:443", False),
        ("192.0.2.0/24", "https://192.0.2.77:6443", True),
        ("192.0.2.77/24", "https://192.0.2.1", True),
        ("192.0.2.0/24", "https://192.0.3.1", False),
        ("192.0.2.0/24", "https://api", False),
        ("fd00::/8", "https://[fd00::1]:6443", True),
        ("fd00::1", "https://[FD00::1]:6443", True),
        ("[fd00::1]:6443", "https://[fd00::1]:6443", True),
        ("[fd00::1]:6443", "https://[fd00::1]", False),
        ("0.2.1", "https://192.0.2.1", False),
        ("", "https://api", False),
        (",,:6443,.", "https://api:6443", False),
        ("192.0.2.0/99", "https://192.0.2.0", False),
    ],
)
def test_no_proxy_entry_matches_as_in_go(entry: str, url: str, direct: bool) -> None:
    assert (proxied(url, entry) == "") is direct


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("proxy", "http://proxy:80"),
        ("proxy:8080", "http://proxy:8080"),
        ("https://proxy", "https://proxy:443"),
        ("socks5://proxy", "socks5h://proxy:1080"),
        ("socks5h://[fd00::1]:9", "socks5h://[fd00::1]:9"),
    ],
)
def test_proxy_is_a_url_or_a_bare_host(value: str, url: str) -> None:
    assert proxied("https://api", HTTPS_PROXY=value) == url


@pytest.mark.parametrize("value", ["socks4://p", "ftp://p", "http://", "http://p:x", "http://[", "http://a b"])
def test_unusable_proxy_is_refused_by_its_variable(value: str) -> None:
    with pytest.raises(InputError, match=r"^environment variable HTTPS_PROXY: found .*, expected "):
        proxied("https://api", HTTPS_PROXY=value)
    assert proxied("https://127.0.0.1", HTTPS_PROXY=value) == ""


def test_password_is_read_and_never_shown() -> None:
    found = parse_proxy("http://me:p%40ss%2F@proxy:1")
    assert (found.user, found.password) == ("me", "p@ss/")
    assert found.url_with_password == "http://me:p%40ss%2F@proxy:1"
    assert "p@ss" not in f"{found} {found!r}"
