"""The proxy of a connection: a ``proxy-url``, or the proxy variables of the environment.

The environment is read as in Go's net/http, which kubectl uses: lower-case variables take precedence, loopback is never
proxied, and NO_PROXY may contain hosts, domains, addresses, CIDR ranges, ports and ``*``. Python's urllib and requests
differ in each of these rules, so the harness does not use theirs.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from harness.common.errors import InputError, Problem

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_SOCKS = frozenset({"socks5", "socks5h"})
_SCHEMES = "http, https, socks5 or socks5h"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy. Neither ``repr`` nor ``str`` contains the password."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def socks(self) -> bool:
        """Whether it is a SOCKS proxy. As in Go, the proxy resolves host names, for ``socks5`` too."""
        return self.scheme in _SOCKS

    @property
    def url(self) -> str:
        """The URL without user and password; ``socks5h`` for a SOCKS proxy, so that the proxy resolves host names."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'socks5h' if self.socks else self.scheme}://{host}:{self.port}"

    @property
    def url_with_password(self) -> str:
        """The URL with user and password, for libraries that need it in this form. Never show it."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user or self.password else ""
        return self.url.replace("://", f"://{login}", 1)

    def __str__(self) -> str:
        return self.url


def parse_proxy(text: str) -> Proxy:
    """Return the proxy of a URL. Raises ValueError with only the scheme in its message: the rest may be secret."""
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ValueError("found a URL that cannot be parsed, expected scheme://host:port") from error
    if parts.scheme not in _PORTS:
        raise ValueError(f"found the scheme {parts.scheme[:20]!r}, expected {_SCHEMES}")
    if not host or not _plain(host):
        raise ValueError("found a URL without a valid host, expected scheme://host:port")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Proxy(parts.scheme, host, port or _PORTS[parts.scheme], user, password)


def proxy_from_environment(url: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """Return the proxy that the environment sets for a URL (http or https; ws and wss count as these), or None.

    Raises InputError with the name of the variable if its value is not a supported proxy.
    """
    environ = os.environ if environ is None else environ
    parts = urlsplit(url)
    secure = parts.scheme in {"https", "wss"}
    name = "https_proxy" if secure else "http_proxy"
    variable = next((each for each in (name, name.upper()) if environ.get(each)), "")
    host, port = (parts.hostname or "").lower(), parts.port or (443 if secure else 80)
    no_proxy = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not variable or not host or _direct(host, port, no_proxy):
        return None
    value = environ[variable]
    try:
        # A bare host:port is an HTTP proxy.
        return parse_proxy(value if "://" in value else f"http://{value}")
    except ValueError as error:
        raise InputError([Problem(str(error), field=f"environment variable {variable}")]) from error


def _plain(host: str) -> bool:
    return host.isprintable() and not any(character in ' <>"\\^`{|}%' for character in host)


def _direct(host: str, port: int, no_proxy: str) -> bool:
    """Return whether a host is reached without a proxy."""
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    return any(_matcher(entry)(host, port) for entry in entries if entry)


def _matcher(entry: str) -> Callable[[str, int], bool]:
    if entry == "*":
        return lambda _host, _port: True
    if "/" in entry:
        return _range(entry)
    name, wanted = _split(entry)
    address = _address(name)
    if address is not None:
        return lambda host, port: _address(host) == address and wanted in {"", str(port)}
    name = name.removeprefix("*")
    if not name.strip("."):
        return lambda _host, _port: False
    suffix = name if name.startswith(".") else f".{name}"
    # As in Go: a leading dot (or ``*.``) matches only subdomains, a bare name matches itself and its subdomains.
    return lambda host, port: (
        _address(host) is None and (host.endswith(suffix) or host == name) and wanted in {"", str(port)}
    )


def _range(entry: str) -> Callable[[str, int], bool]:
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return lambda _host, _port: False

    def within(host: str, _port: int) -> bool:
        address = _address(host)
        return address is not None and address in network

    return within


def _split(entry: str) -> tuple[str, str]:
    """Return host and port of ``host:port`` or ``[address]:port``; the port is empty if there is none."""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.removeprefix(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # As in Go, an IPv4 address and its IPv6-mapped form are equal.
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
