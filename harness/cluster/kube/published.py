"""Kubernetes' own kinds and the types of their fields, from its OpenAPI document.

``scripts/api_schema.py`` writes the table in ``published.json.gz`` from the Kubernetes version of the local cluster. It
gives a kind's resource and fields without a cluster.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.cluster.kube.resources import Resource

FILE = Path(__file__).with_suffix(".json.gz")

# A type's name, "#definition", [type of the items], {"map": type of the values} or {"enum": [values]}.
FieldType = str | list[Any] | Mapping[str, Any]
# The same plural and singular: the one exception in UnsafeGuessKindToResource (k8s.io/apimachinery).
_UNCHANGED = "endpoints"


@cache
def _table() -> dict[str, Any]:
    with gzip.open(FILE, "rt", encoding="utf-8") as stream:
        found: dict[str, Any] = json.load(stream)
    return found


def version() -> str:
    """Return the version of Kubernetes that the table describes, such as ``v1.36.3``."""
    return str(_table()["version"])


@cache
def kinds() -> Mapping[tuple[str, str], Resource]:
    """Return the resource of every kind that can be created, by ``apiVersion`` and ``kind``."""
    found = {}
    for key, (plural, namespaced, _) in _table()["kinds"].items():
        api_version, _, kind = key.partition(" ")
        found[api_version, kind] = Resource(api_version, plural, kind, namespaced)
    return found


def definition_of(api_version: str, kind: str) -> str | None:
    """Return the type of a kind's objects, or None for a kind that is not in the table."""
    found = _table()["kinds"].get(f"{api_version} {kind}")
    return f"#{found[2]}" if found else None


def fields_of(definition: str) -> tuple[Mapping[str, FieldType], list[str]]:
    """Return the fields of a ``#definition`` with their types, and the names of the required ones.

    A definition without fields permits anything.
    """
    fields, required = _table()["definitions"][definition.removeprefix("#")]
    return fields, required


def guessed_plural(kind: str) -> str:
    """Return the plural that Kubernetes guesses for an unknown kind (``UnsafeGuessKindToResource``).

    One difference: a y after a vowel stays (``gateways``), as in all CustomResourceDefinitions of such kinds.
    """
    name = kind.lower()
    if name.endswith(_UNCHANGED):
        return name
    if name.endswith("y") and name[-2:-1] not in set("aeiou"):
        return f"{name[:-1]}ies"
    return name + ("es" if name.endswith(("s", "x", "z", "ch", "sh")) else "s")
