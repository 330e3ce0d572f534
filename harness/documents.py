"""YAML as data: safe loading that refuses duplicate keys and knows the line of every field.

Files come from strangers. No tag runs code, a file and what it unfolds to are bounded, and every mistake becomes a
Problem with its file, line and field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.errors import InputError, Problem

MAX_BYTES = 500_000
# Aliases are shared, not copied, but whoever walks the result unfolds them: a bound on the walk stops "billion laughs".
MAX_NODES = 100_000

# A manifest deeper than this is none; far below Python's own limit, which would end the whole process' patience.
MAX_DEPTH = 60
_CORE = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(_CORE + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge"))

Place = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """The safe loader without dates: Kubernetes takes them as text, and JSON knows no other way to write them."""


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
        loader = _Loader(text)
        try:
            return [_document(loader, node, file) for node in _nodes(loader) if not _is_empty(node)]
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise InputError([Problem(f"not valid YAML: {error.problem or error.context}", file, line)]) from error
    except RecursionError as error:
        raise InputError([Problem(f"nested deeper than {MAX_DEPTH} levels", file)]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError([Problem(f"not valid YAML: {error}", file)]) from error


def _read(file: Path) -> str:
    try:
        # A pipe or a device, perhaps behind a link, would never end.
        if file.exists() and not file.is_file():
            raise InputError([Problem("no regular file", file)])
        if file.stat().st_size > MAX_BYTES:
            raise InputError([Problem(f"larger than {MAX_BYTES} bytes", file)])
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(f"cannot be read: {error}", file)]) from error


def _nodes(loader: yaml.SafeLoader) -> Iterator[yaml.Node]:
    while loader.check_node():
        node = loader.get_node()
        if node is not None:
            yield node


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _document(loader: yaml.SafeLoader, root: yaml.Node, file: Path) -> Document:
    lines: dict[Place, int] = {}
    problems: list[Problem] = []
    _walk(root, (), lines, problems, file)
    if problems:
        raise InputError(problems)
    return Document(file, loader.construct_document(root), lines)


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int], problems: list[Problem], file: Path) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if len(lines) > MAX_NODES:
        raise InputError([Problem(f"unfolds to more than {MAX_NODES} values", file)])
    if len(place) > MAX_DEPTH:
        raise InputError([Problem(f"nested deeper than {MAX_DEPTH} levels", file, node.start_mark.line + 1)])
    if node.tag not in _KNOWN_TAGS:
        problems.append(Problem(f"found the tag {node.tag}, expected none", file, lines[place], show_place(place)))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*place, index), lines, problems, file)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            if inner in lines:
                first = f"duplicate key, first given in line {lines[inner]}"
                problems.append(Problem(first, file, key.start_mark.line + 1, show_place(inner)))
                continue
            lines[inner] = key.start_mark.line + 1
            _walk(value, inner, lines, problems, file)


def _sentence(kind: str, message: str, found: object) -> str:
    shown = repr(found)
    shown = shown if len(shown) <= 80 else shown[:77] + "…"
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "missing, and it is required"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return f"found {shown}, expected: {message[:1].lower()}{message[1:]}"
