"""Label selectors as kubectl takes them."""

from __future__ import annotations

import pytest

from harness.labels import parse_selector

LABELS = {"app": "shop", "tier": "web", "example.com/zone": "a"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("app=shop", True),
        ("app==shop,tier=web", True),
        ("app=shop,tier=db", False),
        ("app!=shop", False),
        ("missing!=x", True),
        ("tier in (web, api)", True),
        ("tier notin (web)", False),
        ("missing notin (web)", True),
        ("app", True),
        ("!app", False),
        ("!missing", True),
        ("example.com/zone=a", True),
        ("", True),
    ],
)
def test_matching(text: str, matches: bool) -> None:
    assert parse_selector(text).matches(LABELS) is matches


@pytest.mark.parametrize("wrong", ["app=shop,", "=shop", "app=a=b", "app in web", "app in (web", "a b", "-x", "app>1"])
def test_what_is_no_selector(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected a label selector"):
        parse_selector(wrong)
