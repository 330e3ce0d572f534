"""The YAML loader: safe, limited in depth, with scalars parsed as in Kubernetes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from harness.common.errors import InputError, Problem
from harness.common.scalars import Scalar, as_json_number, is_long_number, key_of, resolve

# Deeper than any real manifest, and far below Python's recursion limit.
MAX_DEPTH = 60
_CORE = "tag:yaml.org,2002:"
NULL, BOOL, INT, FLOAT, TEXT, MERGE = (_CORE + name for name in ("null", "bool", "int", "float", "str", "merge"))
NUMBERS = frozenset((INT, FLOAT))
KNOWN_TAGS = frozenset((_CORE + "map", _CORE + "seq", NULL, BOOL, INT, FLOAT, TEXT, MERGE))
_TAGS: dict[type, str] = {type(None): NULL, bool: BOOL, int: INT, float: FLOAT, str: TEXT}
# JSON escapes a character beyond U+FFFF as two surrogates.
_PAIRS = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_MARK = "\ufeff"
_ENDS_OF_TEXT = "\0\r\n\x85\u2028\u2029#"


class Loader(yaml.SafeLoader):
    """The safe loader. Raises InputError if a text is nested too deeply, yaml.YAMLError if it is not YAML."""

    def __init__(self, text: str, file: Path) -> None:
        super().__init__(text)
        self._file, self._depth = file, 0

    def scan_to_next_token(self) -> None:
        # kubectl's parser accepts tabs between tokens and within plain text, and a byte order mark at the start of a
        # line, which occurs in concatenated files.
        super().scan_to_next_token()
        while (self.peek() == "\t" and (self.flow_level or not self.allow_simple_key)) or (
            self.peek() == _MARK and self.column == 0
        ):
            self.forward()
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: int, start_mark: yaml.Mark) -> list[str]:
        length = 0
        while self.peek(length) in " \t":
            length += 1
        blanks = self.prefix(length)
        if "\t" in blanks:
            self.forward(length)
            if self.peek() not in _ENDS_OF_TEXT:
                return [blanks]
        return super().scan_plain_spaces(indent, start_mark) or []

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._depth > MAX_DEPTH:
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise InputError([too_deep(self._file, line)])
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def compose_scalar_node(self, anchor: dict[Any, yaml.Node]) -> yaml.ScalarNode:
        # YAML's non-specific tag "!" makes any plain scalar a text.
        forced = self.peek_event().tag == "!"  # type: ignore[no-untyped-call]
        node = super().compose_scalar_node(anchor)
        if forced:
            node.tag = TEXT
        node.value = _PAIRS.sub(_joined, node.value)
        return node

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:  # noqa: ANN401
        if kind is not yaml.ScalarNode or not implicit[0]:
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        return MERGE if value == "<<" else _TAGS[type(resolve(value))]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401
        return _value(node) if isinstance(node, yaml.ScalarNode) else super().construct_object(node, deep=deep)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
        data: dict[Any, Any] = {}
        self._fill(data, node, deep)
        return data

    def _fill(self, data: dict[Any, Any], node: yaml.MappingNode, deep: bool) -> None:
        # In document order: in kubectl a merge key overrides the keys written before it.
        for key, value in node.value:
            if key.tag == MERGE:
                for source in _merged(value):
                    self._fill(data, source, deep)
            else:
                data[key_text(key)] = self.construct_object(value, deep=deep)


def key_text(key: yaml.ScalarNode) -> str | None:
    """Return the text of a key, or None if Kubernetes does not accept such a scalar as a key."""
    if key.tag == FLOAT:
        return None
    return key.value if key.tag in {TEXT, MERGE} else key_of(key.value, _value(key))


def too_deep(file: Path, line: int) -> Problem:
    """Return the problem for a text that is nested too deeply."""
    return Problem(f"nested deeper than {MAX_DEPTH} levels", file, line)


def shown(found: object) -> str:
    """Format a value for a message as YAML has it, shortened to 80 characters."""
    if found is None:
        return "nothing"
    text = str(found).lower() if isinstance(found, bool) else repr(found)
    return text if len(text) <= 80 else text[:77] + "…"


def _value(node: yaml.ScalarNode) -> Scalar:
    """Return the value of a scalar. An explicit tag must match the scalar's own type or be that of text."""
    if node.tag in {TEXT, MERGE} or is_long_number(node.value):
        return str(node.value)
    value = resolve(node.value)
    if node.tag == FLOAT and _TAGS[type(value)] in NUMBERS:
        return as_json_number(float(value or 0))
    if _TAGS[type(value)] != node.tag:
        message = f"found {shown(node.value)}, which is not of type {node.tag.removeprefix(_CORE)}"
        raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
    return value


def _merged(value: yaml.Node) -> list[yaml.MappingNode]:
    """Return the maps of a merge key; later ones override earlier ones."""
    maps: list[yaml.MappingNode] = []
    # By YAML's rule the first of several maps wins, so it must be applied last.
    for found in value.value[::-1] if isinstance(value, yaml.SequenceNode) else [value]:
        if not isinstance(found, yaml.MappingNode):
            message = "expected a map, or a list of maps, to merge"
            raise yaml.constructor.ConstructorError(None, None, message, found.start_mark)
        maps.append(found)
    return maps


def _joined(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16", "surrogatepass").decode("utf-16")
