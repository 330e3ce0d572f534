"""Signatures of webhooks: what a receiver accepts, and the sample in the documentation that does the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.notifications.signature import signature, verify

SECRET, BODY, NOW = "a secret of 16 characters", b'{"event": "finished"}', 1_700_000_000.0
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "game-days.md"


def sample() -> Any:
    """Return the function of the documentation."""
    (code,) = re.findall(r"```python\n(.*?def verify.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["verify"]


@pytest.fixture(params=["module", "sample"])
def check(request: pytest.FixtureRequest) -> Any:
    return verify if request.param == "module" else sample()


def test_valid_signature_is_accepted(check: Any) -> None:
    assert check(SECRET, signature(SECRET, BODY, NOW), BODY, NOW + 299)


@pytest.mark.parametrize(
    ("secret", "body", "later"),
    [("another secret of 16", BODY, 0), (SECRET, b"{}", 0), (SECRET, BODY, 301), (SECRET, BODY, -301)],
    ids=["secret", "body", "replayed", "future"],
)
def test_wrong_or_old_signature_is_refused(check: Any, secret: str, body: bytes, later: float) -> None:
    assert not check(secret, signature(SECRET, BODY, NOW), body, NOW + later)


@pytest.mark.parametrize("header", ["", "t=1,v1=", "v1=" + "0" * 64, "t=x,v1=" + "0" * 64, "t=1700000000,v1=\xe9"])
def test_malformed_header_is_refused(check: Any, header: str) -> None:
    assert not check(SECRET, header, BODY, NOW)


def test_changed_time_is_refused(check: Any) -> None:
    header = signature(SECRET, BODY, NOW).replace("t=1700000000", "t=1700000100")
    assert not check(SECRET, header, BODY, NOW + 100)
