"""Signatures of webhooks: HMAC-SHA256 over the time and the body, so that a receiver can refuse old requests.

The header is ``Resilience-Signature: t=1700000000,v1=HEX``. ``HEX`` is the HMAC of ``1700000000.BODY`` with the secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re

HEADER = "Resilience-Signature"
# A receiver refuses a request that was signed longer ago, in seconds; retries are signed again.
REPLAY_WINDOW = 300.0
_FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


def signature(secret: str, body: bytes, wall: float) -> str:
    """Return the value of the header for a body that is sent at ``wall`` in Unix seconds."""
    return f"t={int(wall)},v1={_digest(secret, int(wall), body)}"


def verify(secret: str, header: str, body: bytes, wall: float, window: float = REPLAY_WINDOW) -> bool:
    """Return whether a body has a valid signature that is at most ``window`` seconds old."""
    form = _FORM.fullmatch(header)
    if not form or abs(wall - int(form[1])) > window:
        return False
    return hmac.compare_digest(form[2], _digest(secret, int(form[1]), body))


def _digest(secret: str, at: int, body: bytes) -> str:
    return hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
