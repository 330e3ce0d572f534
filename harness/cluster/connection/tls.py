"""TLS settings of a connection: trusted servers, the client certificate, and the SSLContext made of both.

HTTP and WebSockets share one context, so that their settings cannot differ.
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass, field

from harness.common.errors import HarnessError


class TlsInvalid(HarnessError):
    """A certificate or key cannot be used."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The trusted servers: those signed by ``ca`` (PEM; None for the system's authorities), or all if ``insecure``."""

    ca: str | None = None
    insecure: bool = False
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """A client certificate and its key, both PEM."""

    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)


def ssl_context(trust: Trust, identity: Identity | None) -> ssl.SSLContext:
    """Return the context for Python's ``ssl``. Raises TlsInvalid if a certificate or a key cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As in Go: TLS 1.2 or newer (Python's default), only subject alternative names count, HTTP/1.1.
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    if trust.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, trust.ca)
    if identity is not None:
        _identify(context, identity)
    return context


def _trust(context: ssl.SSLContext, authorities: str | None) -> None:
    if authorities is None:
        context.load_default_certs()
        return
    # As in Go: every given certificate is trusted, even if it is signed by another authority (no self-signed root).
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise TlsInvalid("found no valid certificate, expected one or more in PEM format") from error


def _identify(context: ssl.SSLContext, identity: Identity) -> None:
    # Python loads them only from a file. It is readable only by this user and is deleted at once.
    with tempfile.NamedTemporaryFile(prefix="client-") as both:
        # A certificate without a final line break would otherwise continue in the first line of the key.
        both.write(identity.certificate.rstrip() + b"\n" + identity.key)
        both.flush()
        try:
            # Without this callback, OpenSSL prompts for the password of an encrypted key on the terminal.
            context.load_cert_chain(both.name, password=lambda: "")
        except (ssl.SSLError, ValueError, OSError) as error:
            raise TlsInvalid("found no valid pair of certificate and key, expected both in PEM format") from error
