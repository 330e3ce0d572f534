"""Label selectors as kubectl takes them."""

from __future__ import annotations

import pytest

from harness.common.labels import matches_labels, parse_selector

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
def test_invalid_selector_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected a label selector"):
        parse_selector(wrong)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": None, "matchExpressions": None}, True),
        ({"matchLabels": {"app": "shop"}}, True),
        ({"matchLabels": {"app": "cart"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["shop"]}]}, True),
        ({"matchExpressions": [{"key": "missing", "operator": "In", "values": ["shop"]}]}, False),
        ({"matchExpressions": [{"key": "missing", "operator": "NotIn", "values": ["shop"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Is", "values": ["shop"]}]}, False),
        ({"matchLabels": {"app": "shop"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_label_selector_objects_match_as_in_kubernetes(selector: dict[str, object] | None, matches: bool) -> None:
    assert matches_labels(selector, LABELS) is matches
