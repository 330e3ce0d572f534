"""A sealed plan: its hash is shown first, its content and salt afterwards, so that both can be compared.

The sealed text is two lines: a random salt, and the content as canonical JSON (ASCII, sorted keys, no spaces). Without
the salt, the content could be found by trying all likely plans.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.common.errors import InputError, Problem

SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class SealedPlan:
    """A salt and the content as canonical JSON."""

    salt: str
    content: str

    @property
    def text(self) -> str:
        """The text that is hashed; in a file, ``sha256sum`` prints the hash."""
        return f"{self.salt}\n{self.content}\n"

    @property
    def hash(self) -> str:
        """The SHA-256 of the text, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def plan(self) -> dict[str, Any]:
        """The content as data."""
        data: dict[str, Any] = json.loads(self.content)
        return data

    @property
    def command(self) -> str:
        """A shell command that prints the hash."""
        return f"printf '%s\\n' {self.salt} {shlex.quote(self.content)} | sha256sum"

    def matches(self, digest: str) -> bool:
        """Return whether this is the plan with that hash."""
        return hmac.compare_digest(self.hash, digest)


def new_salt() -> str:
    """Return a random salt."""
    return secrets.token_hex(SALT_BYTES)


def seal(plan: Mapping[str, Any], salt: str) -> SealedPlan:
    """Seal a plan of JSON values. Raises ValueError for numbers that JSON cannot represent."""
    return SealedPlan(salt, json.dumps(plan, sort_keys=True, separators=(",", ":"), allow_nan=False))


def read_sealed(text: str, digest: str) -> SealedPlan:
    """Return the sealed plan from its text. Raises InputError if it is not the plan with that hash."""
    salt, _, content = text.partition("\n")
    plan = SealedPlan(salt, content.removesuffix("\n"))
    if not plan.matches(digest):
        found = hashlib.sha256(text.encode()).hexdigest()
        raise InputError([Problem(f"the sealed plan was changed: found the SHA-256 {found}, expected {digest}")])
    return plan
