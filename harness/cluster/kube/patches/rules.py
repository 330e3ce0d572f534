"""The published merge rules of Kubernetes' own kinds: which lists are merged, and their merge keys.

``scripts/patch_rules.py`` writes ``rules.json`` from Kubernetes' OpenAPI document; the file contains the version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from harness.cluster.kube import published

MERGE = "merge"
REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Field:
    """How the value of a field is merged.

    ``strategy`` is ``merge``, ``replace`` or empty: a map is merged and a list is replaced. ``key`` is the field that
    identifies an item of a merged list. ``keys`` are the fields that do so in server-side apply, if more than one.
    """

    type: str = ""
    strategy: str = ""
    key: str = ""
    keys: tuple[str, ...] = ()


_PLAIN = Field()


def version() -> str:
    """Return the Kubernetes version of these rules."""
    return str(_table()["version"])


def type_of(api_version: str, kind: str) -> str | None:
    """Return the type of one of Kubernetes' own kinds; None for any other kind."""
    found = published.definition_of(api_version, kind)
    return found.removeprefix("#") if found else None


def is_own_group(api_version: str) -> bool:
    """Return whether an apiVersion belongs to one of Kubernetes' own groups."""
    return _group(api_version) in _own_groups()


def field(of: str, name: str) -> Field:
    """Return the rule for a field of a type. For unknown types and fields, maps are merged and lists replaced."""
    return _fields(of).get(name, _PLAIN)


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((resources.files(__package__) / "rules.json").read_text(encoding="utf-8"))
    return table


@cache
def _own_groups() -> frozenset[str]:
    return frozenset(_group(own) for own, _ in published.kinds())


@cache
def _fields(of: str) -> Mapping[str, Field]:
    fields: dict[str, dict[str, Any]] = _table()["types"].get(of, {})
    return {name: Field(**{**given, "keys": tuple(given.get("keys", ()))}) for name, given in fields.items()}


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]
