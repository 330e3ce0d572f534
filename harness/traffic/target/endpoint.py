"""The endpoint that a process dials: plain data for its settings file, without third-party packages.

Nothing in it is secret: a private key or a credential is a reference ``${env:NAME}`` to a variable of the process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

# A reference to a variable in the environment of the process.
REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Tls:
    """How to verify the server, and the client's own certificate. Certificates are PEM texts.

    An empty ``ca`` means the certificate authorities of this machine. ``insecure`` accepts any certificate.
    """

    server_name: str
    ca: str = ""
    certificate: str = ""
    key: str = ""
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """What a client sends in addition to its requests.

    ``authority`` is the Host header (empty: the address that is dialled), ``prefix`` goes before every path,
    ``authorization`` is the header of that name, as a reference.
    """

    authority: str = ""
    prefix: str = ""
    authorization: str = ""
    tls: Tls | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Return the access that ``dataclasses.asdict`` converted to ``data``."""
        return cls(**{**data, "tls": Tls(**data["tls"]) if data["tls"] else None})

    def path(self, path: str) -> str:
        """Return a request's path below the prefix; the root is the prefix itself."""
        if not self.prefix:
            return path
        return self.prefix + (path[1:] if path == "/" or path.startswith("/?") else path)


# Without TLS, credentials and a name of the target's own.
PLAIN = Access()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port to dial, and how to speak to what answers there."""

    host: str
    port: int
    access: Access = PLAIN

    def __str__(self) -> str:
        return authority(self.host, self.port)


def replaced(text: str, environ: Mapping[str, str]) -> str:
    """Return a text with every reference replaced; the result must not be logged. Raises KeyError if one is not set."""
    return REFERENCE.sub(lambda found: environ[found[1]], text)


def authority(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
