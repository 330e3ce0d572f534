"""Parsing and matching of Kubernetes label selectors, for checks without a cluster and for the fake cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KEY = r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s+\(([^()]*)\)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


@dataclass(frozen=True, slots=True)
class Requirement:
    """One part of a selector: the key's value must be (``negated``: must not be) one of ``values``; None: any value."""

    key: str
    values: frozenset[str] | None
    negated: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = self.key in labels and (self.values is None or labels[self.key] in self.values)
        # As in Kubernetes, a negated requirement also matches objects without the key.
        return found is not self.negated


@dataclass(frozen=True, slots=True)
class Selector:
    """A list of requirements that must all match; an empty selector matches everything."""

    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_selector(text: str) -> Selector:
    """Parse a selector in kubectl's syntax: ``app=shop,tier in (web, api),!canary``. Raises ValueError."""
    # Commas within the parentheses of `in (a, b)` separate values, not requirements.
    parts = [part.strip() for part in re.split(r",(?![^()]*\))", text)] if text.strip() else []
    return Selector(tuple(_requirement(part, text) for part in parts))


def matches_labels(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Return whether a LabelSelector object selects these labels, by the rule of metav1.LabelSelectorAsSelector.

    None (absent or null) and an unknown operator select nothing; an empty selector selects everything. All code of the
    project that evaluates a LabelSelector uses this function.
    """
    if selector is None:
        return False
    wanted = (selector.get("matchLabels") or {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        _meets(expression, labels) for expression in selector.get("matchExpressions") or ()
    )


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    if operator not in _OPERATORS:
        return False
    values = None if operator in {"Exists", "DoesNotExist"} else frozenset(expression.get("values") or ())
    return Requirement(key, values, negated=operator in {"NotIn", "DoesNotExist"}).matches(labels)


def _requirement(part: str, text: str) -> Requirement:
    if found := _EQUALITY.fullmatch(part):
        return Requirement(found[1], frozenset({found[3]}), negated=found[2] == "!=")
    if found := _SET.fullmatch(part):
        values = frozenset(value.strip() for value in found[3].split(","))
        return Requirement(found[1], values, negated=found[2] == "notin")
    if found := _EXISTS.fullmatch(part):
        return Requirement(found[2], None, negated=bool(found[1]))
    raise ValueError(f"found {text!r}, expected a label selector such as app=shop,tier in (web, api)")
