"""YAML as data: safe loading that refuses duplicate keys and knows the line of every field.

Files come from strangers. No tag runs code, a file and what it unfolds to are bounded, and every mistake becomes a
Problem with its file, line and field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.errors import InputError, Problem

MAX_BYTES = 500_000
# Aliases are shared, not copied, but whoever walks the result unfolds them: bounds on the walk through all documents of
# a file, in values and in the characters of their text, stop "billion laughs" and a long text that is named very often.
MAX_NODES = 100_000
MAX_CHARACTERS = 4 * MAX_BYTES

# A manifest deeper than this is none; far below Python's own limit.
MAX_DEPTH = 60
# What YAML itself allows a key that is not written with a question mark.
MAX_KEY = 1024
# Python turns no number of thousands of digits into text, and a sexagesimal one costs the square of its length.
MAX_DIGITS = 100
# Each names its place, which may be long.
MAX_PROBLEMS = 100
_CORE = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(_CORE + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge"))

_NUMBERS = frozenset((f"{_CORE}int", f"{_CORE}float"))
# JSON escapes a character beyond U+FFFF in two halves.
_PAIRS = re.compile("[\ud800-\udbff][\udc00-\udfff]")
# UTF-8 has no way to write one that is alone.
_HALVES = re.compile("[\ud800-\udfff]")

Place = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """The safe loader without dates: Kubernetes takes them as text, and JSON knows no other way to write them. Keys are
    the text that they are written as, as they are in JSON: nobody can choose numbers that all have one hash."""

    def __init__(self, text: str, file: Path) -> None:
        super().__init__(text)
        self._file, self._depth = file, 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._depth > MAX_DEPTH:
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise InputError([_too_deep(self._file, line)])
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def compose_scalar_node(self, anchor: dict[Any, yaml.Node]) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        node.value = _PAIRS.sub(_joined, node.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError) as error:
            kind = node.tag.removeprefix(_CORE)
            message = f"found {_shown(node.value)}, which is no {kind}"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from error

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _KNOWN_TAGS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its data and the line of every field in it."""

    file: Path
    data: Any
    lines: dict[Place, int]

    def line(self, place: Sequence[str | int]) -> int | None:
        """The line of a field; of its nearest parent when the field itself is missing."""
        at = tuple(place)
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at)

    def problem(self, place: Sequence[str | int], message: str) -> Problem:
        """A problem with the field at this place."""
        return Problem(message, self.file, self.line(place), show_place(place))

    def problems(self, error: ValidationError, prefix: Sequence[str | int] = ()) -> list[Problem]:
        """The problems that a model found in this document, or in the part of it at ``prefix``."""
        return [
            self.problem((*prefix, *detail["loc"]), _sentence(detail["type"], detail["msg"], detail["input"]))
            for detail in error.errors(include_url=False)
        ]


def show_place(place: Sequence[str | int]) -> str:
    """A field's place as people write it: ``faults[0].podKill.selector``."""
    shown = ""
    for part in place:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
    return shown


def load_document(file: Path, text: str | None = None) -> Document:
    """The only document of a file (or of ``text``, with the file for its name). Raises InputError."""
    documents = load_documents(file, text)
    if len(documents) != 1:
        raise InputError([Problem(f"found {len(documents)} YAML documents, expected one", file)])
    return documents[0]


def load_documents(file: Path, text: str | None = None) -> list[Document]:
    """All documents of a file, empty ones left out. Raises InputError."""
    text = _read(file) if text is None else text
    try:
        loader, walk = _Loader(text, file), _Walk(file)
        try:
            return [_document(loader, node, walk) for node in _nodes(loader) if not _is_empty(node)]
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise InputError([Problem(f"not valid YAML: {error.problem or error.context}", file, line)]) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError([Problem(f"not valid YAML: {error}", file)]) from error


def _read(file: Path) -> str:
    try:
        # A pipe or a device, perhaps behind a link, would never end.
        if file.exists() and not file.is_file():
            raise InputError([Problem("no regular file", file)])
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError([Problem(f"larger than {MAX_BYTES} bytes", file)])
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(f"cannot be read: {error}", file)]) from error


def _nodes(loader: yaml.SafeLoader) -> Iterator[yaml.Node]:
    while loader.check_node():
        node = loader.get_node()
        if node is not None:
            yield node


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _document(loader: yaml.SafeLoader, root: yaml.Node, walk: _Walk) -> Document:
    lines: dict[Place, int] = {}
    walk.through(root, (), lines)
    if walk.problems:
        raise InputError(walk.problems)
    return Document(walk.file, loader.construct_document(root), lines)


class _Walk:
    """A walk through the documents of a file before anything is made of them. It ends after so many steps."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._values = self._characters = 0

    def through(self, node: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
        """Note the line of every field, and what is wrong with it. Raises InputError where it must go no further."""
        line = node.start_mark.line + 1
        lines.setdefault(place, line)
        self._values += 1
        if self._values > MAX_NODES:
            raise InputError([Problem(f"unfolds to more than {MAX_NODES} values", self.file)])
        if len(place) > MAX_DEPTH:
            raise InputError([_too_deep(self.file, line)])
        if node.tag not in _KNOWN_TAGS:
            self._say(f"found the tag {node.tag[:MAX_KEY]}, expected none", line, place)
        if isinstance(node, yaml.ScalarNode):
            self._text(node, line, place)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.through(item, (*place, index), lines)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._field(key, value, place, lines)

    def _field(self, key: yaml.Node, value: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            found = "mapping" if isinstance(key, yaml.MappingNode) else "list"
            self._say(f"found a {found} for a key, expected text", line, place)
            return
        if len(key.value) > MAX_KEY:
            self._say(f"found a key of {len(key.value)} characters, expected at most {MAX_KEY}", line, place)
            return
        inner = (*place, key.value)
        if key.tag not in _KNOWN_TAGS:
            self._say(f"found the tag {key.tag[:MAX_KEY]} of a key, expected none", line, inner)
        self._text(key, line, place)
        if inner in lines:
            self._say(f"duplicate key, first given in line {lines[inner]}", line, inner)
            return
        lines[inner] = line
        self.through(value, inner, lines)

    def _text(self, node: yaml.ScalarNode, line: int, place: Place) -> None:
        self._characters += len(node.value)
        if self._characters > MAX_CHARACTERS:
            raise InputError([Problem(f"unfolds to more than {MAX_CHARACTERS} characters", self.file)])
        if node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
            self._say(f"found a number of {len(node.value)} characters, expected at most {MAX_DIGITS}", line, place)
        if _HALVES.search(node.value):
            self._say("found half of a character (U+D800 to U+DFFF), expected text", line, place)

    def _say(self, message: str, line: int, place: Place) -> None:
        # In a place of such a name the problem itself could not be written down.
        self.problems.append(Problem(message, self.file, line, _HALVES.sub("�", show_place(place))))
        if len(self.problems) == MAX_PROBLEMS:
            raise InputError(self.problems)


def _joined(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _too_deep(file: Path, line: int) -> Problem:
    return Problem(f"nested deeper than {MAX_DEPTH} levels", file, line)


def _shown(found: object) -> str:
    shown = repr(found)
    return shown if len(shown) <= 80 else shown[:77] + "…"


def _sentence(kind: str, message: str, found: object) -> str:
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "missing, and it is required"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return f"found {_shown(found)}, expected: {message[:1].lower()}{message[1:]}"
