"""TLS for clients: the context of an endpoint, and short outcomes for what may go wrong."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence

from harness.traffic.target.endpoint import Tls

HTTP_1, HTTP_2 = "http/1.1", "h2"

# OpenSSL's reasons whose names do not say what happened. TLS 1.3 and 1.2 use different names for some.
_REASONS = {
    "WRONG_VERSION_NUMBER": "the server does not speak TLS",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server requires a client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "the server does not trust the client certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the server rejects the client certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the client certificate has expired",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server refused the handshake",
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know the name",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the server does not offer the protocol",
    "UNEXPECTED_EOF_WHILE_READING": "closed without an answer",
}


class NoProtocol(OSError):
    """The server did not choose the protocol that the client needs."""


def context_of(tls: Tls, key: str, protocols: Sequence[str] = ()) -> ssl.SSLContext:
    """Return the client's context. ``key`` is the private key of its certificate, ``protocols`` are offered by ALPN.

    Raises ValueError with a reason if the certificates or the key cannot be used.
    """
    try:
        context = ssl.create_default_context(cadata=tls.ca or None)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError("the CA certificates cannot be read as PEM") from error
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate:
        _load(context, tls.certificate, key)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def check_protocol(chosen: str | None, wanted: str) -> None:
    """Raise NoProtocol if the server chose another protocol than ``wanted``, or none although it must be HTTP/2."""
    if wanted == HTTP_2 and chosen != HTTP_2:
        raise NoProtocol("tls: the server does not offer HTTP/2")


def tls_outcome(error: ssl.SSLError) -> str:
    """Return the outcome of a connection that TLS ended: ``tls: …``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: certificate verify failed: {_lower(str(error.verify_message).rstrip('.'))}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "tls: closed by the server"
    reason = error.reason or "failed"
    return f"tls: {_REASONS.get(reason) or reason.replace('_', ' ').lower()}"


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # The ssl module reads keys only from files. This one exists only in the memory of the process.
    descriptor = os.memfd_create("client-certificate")
    try:
        with os.fdopen(os.dup(descriptor), "w", encoding="ascii") as file:
            file.write(f"{certificate.strip()}\n{key.strip()}\n")
        # The empty password prevents a prompt on the terminal for an encrypted key.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    except (ssl.SSLError, UnicodeEncodeError) as error:
        reason = getattr(error, "reason", None) or "not PEM"
        raise ValueError(
            f"the client certificate and its key cannot be used: {_lower(reason.replace('_', ' ').lower())}"
        ) from error
    finally:
        os.close(descriptor)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
