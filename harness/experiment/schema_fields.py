"""The fields of a JSON Schema in words: name, type, default and meaning, for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model.quantities import show_seconds

Node = Mapping[str, Any]
# The step of a path below a mapping whose keys are names that the user chooses.
ANY_NAME = "*"
_SIMPLE = {"boolean": "true or false", "integer": "whole number", "object": "mapping", "string": "text"}
# A bare number of seconds, a share and a rate have both types in the schema; their limits distinguish them.
_QUANTITY = ["number", "string"]


@dataclass(frozen=True, slots=True)
class SchemaField:
    """A field: ``node`` is its schema, ``steps`` leads from its parent to it (more than one below a mapping)."""

    name: str
    node: Node
    required: bool
    steps: tuple[str, ...]
    type: str
    default: str

    @property
    def about(self) -> str:
        """What it means, on one line."""
        return re.sub(r"\s+", " ", str(self.node.get("description", "")))


class Definitions:
    """Reads the nodes of one schema, whose ``$defs`` it needs for references."""

    def __init__(self, schema: Node) -> None:
        self._definitions: Node = schema.get("$defs", {})

    def fields(self, node: Node) -> list[SchemaField]:
        """Return the fields below a node, through references, lists, alternatives and mappings by name."""
        found: dict[str, SchemaField] = {}
        for each in self._fields(node, ()):
            found.setdefault(each.name, each)
        return list(found.values())

    def type_of(self, node: Node) -> str:
        """Return the type in words: ``duration``, ``list of text``, ``whole number or text``."""
        if "$ref" in node:
            return self.type_of(self._target(node))
        if alternatives := node.get("anyOf") or node.get("oneOf"):
            types = [self.type_of(each) for each in alternatives if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(types))
        if values := node.get("enum") or ([node["const"]] if "const" in node else []):
            return " or ".join(f"`{each}`" for each in values)
        found = node.get("type")
        if found == _QUANTITY:
            return _quantity(node)
        if found == "array":
            return f"list of {self.type_of(node.get('items', {})).replace(' or ', ', ')}"
        return _SIMPLE.get(str(found), str(found or "any"))

    def default_of(self, node: Node) -> str:
        """Return the default as it would be written in a file, or "" if there is none."""
        value = node.get("default")
        # The defaults of nested fields say more than a mapping of all of them.
        if value is None or isinstance(value, dict):
            return ""
        if isinstance(value, list):
            return f"[{', '.join(map(str, value))}]"
        types = {self.type_of(each) for each in node.get("anyOf", [node])}
        if isinstance(value, float | int) and not isinstance(value, bool):
            for kind, text in (
                ("share", f"{value * 100:g}%"),
                ("duration", show_seconds(value, space="")),
                ("rate", f"{value:g}/s"),
            ):
                if kind in types:
                    return text
        return value if isinstance(value, str) and value else json.dumps(value)

    def _fields(self, node: Node, steps: tuple[str, ...]) -> Iterator[SchemaField]:
        if "$ref" in node:
            yield from self._fields(self._target(node), steps)
        for alternatives in ("anyOf", "oneOf"):
            for each in node.get(alternatives, ()):
                yield from self._fields(each, steps)
        if isinstance(items := node.get("items"), dict):
            yield from self._fields(items, steps)
        for named in node.get("patternProperties", {}).values():
            yield from self._fields(named, (*steps, ANY_NAME))
        required: Sequence[str] = node.get("required", ())
        for name, field in node.get("properties", {}).items():
            yield SchemaField(
                name, field, name in required, (*steps, name), self.type_of(field), self.default_of(field)
            )

    def _target(self, node: Node) -> Node:
        target: Node = self._definitions[node["$ref"].rpartition("/")[2]]
        return target


def _quantity(node: Node) -> str:
    if node.get("le") == 1:
        return "share"
    if "ge" in node:
        return "duration"
    return "rate" if node.get("gt") == 0 else "number or share"
