"""TLS contexts, and the words for what may go wrong."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from harness.traffic.target.endpoint import Tls
from harness.traffic.target.tls import context_of, tls_outcome
from tests.integration.secure_server import Authority

AUTHORITY = Authority()


def test_server_is_verified_unless_insecure() -> None:
    strict = context_of(Tls("shop.test", ca=AUTHORITY.pem), "")
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [found["subject"] for found in strict.get_ca_certs()] == [((("commonName", "test authority"),),)]
    assert context_of(Tls("", insecure=True), "").verify_mode == ssl.CERT_NONE


def test_client_certificate_leaves_no_file_open() -> None:
    pair = AUTHORITY.issue("load.test")
    before = _open_files()
    context_of(Tls("shop.test", certificate=pair.certificate), pair.key)
    assert _open_files() <= before


@pytest.mark.parametrize(
    ("tls", "key", "told"),
    [
        (Tls("a", ca="not PEM"), "", "the CA certificates cannot be read as PEM"),
        (Tls("a", certificate="not PEM"), "k", "the client certificate and its key cannot be used"),
        (
            Tls("a", certificate=AUTHORITY.issue("a").certificate),
            AUTHORITY.issue("b").key,
            "the client certificate and its key cannot be used: key values mismatch",
        ),
    ],
    ids=["ca", "certificate", "mismatch"],
)
def test_unusable_certificates_give_a_reason(tls: Tls, key: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        context_of(tls, key)


def test_unknown_reasons_keep_the_words_of_the_library() -> None:
    error = ssl.SSLError(1, "[SSL: NO_SHARED_CIPHER] no shared cipher")
    error.reason = "NO_SHARED_CIPHER"
    assert tls_outcome(error) == "tls: no shared cipher"
    assert tls_outcome(ssl.SSLEOFError(8, "EOF")) == "tls: closed by the server"


def _open_files() -> set[str]:
    """Return what this process has open. Names, not a count: a garbage collection may close other files at any time."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        # The descriptor of the folder itself is closed when the loop ends.
        with suppress(FileNotFoundError):
            found.add(str(descriptor.readlink()))
    return found - {f"/proc/{os.getpid()}/fd"}
