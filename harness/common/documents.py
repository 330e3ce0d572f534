"""Safe loading of YAML and JSON: duplicate keys are refused, and the line of every field is recorded.

Input files are untrusted: no tag runs code, the size of a file and of its expanded aliases is limited, and every error
becomes a Problem with file, line and field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from yaml.reader import ReaderError

from harness.common.errors import InputError, Problem, SecretValueError
from harness.common.file_text import decode, json_stream
from harness.common.scalars import MAX_DIGITS, resolve
from harness.common.suggestions import known_fields, one_of
from harness.common.yaml_loader import FLOAT, KNOWN_TAGS, MAX_DEPTH, NULL, NUMBERS, Loader, key_text, shown, too_deep

# The bundles of operators, with the schemas of their custom resources, have up to 4 MB; 1 MB takes about a second.
MAX_BYTES = 5_000_000
# PyYAML shares aliases instead of copying them, but any code that walks the result expands them. Limits on the values
# and characters visited in all documents of a file stop "billion laughs" and a long text that is referenced very often.
MAX_NODES = 500_000
MAX_CHARACTERS = 4 * MAX_BYTES

# YAML's own limit for a key that is not written with a question mark.
MAX_KEY = 1024
# Each problem contains the path of its field, which may be long.
MAX_PROBLEMS = 100
# A lone surrogate cannot be encoded in UTF-8.
_HALVES = re.compile("[\ud800-\udfff]")

# Pydantic's own messages for these name Python types, such as "dictionary or instance of Freeze".
_EXPECTED = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "too_short": "a list of at least {min_length}",
}

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document, or the part of one at ``prefix``: its data, and the line of every field of the document.

    ``subject`` names what a document without lines describes: an object that was rendered from a template.
    """

    file: Path
    data: Any
    lines: dict[Place, int]
    prefix: Place = ()
    subject: str = ""

    def line(self, place: Sequence[str | int]) -> int | None:
        """Return the line of a field, or of its nearest parent if the field is missing."""
        at = (*self.prefix, *place)
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at)

    def problem(self, place: Sequence[str | int], message: str) -> Problem:
        """Return a problem with the field at this place."""
        field = show_place((*self.prefix, *place))
        return Problem(message, self.file, self.line(place), ": ".join(filter(None, (self.subject, field))))

    def problems(
        self, error: ValidationError, prefix: Sequence[str | int] = (), model: type[BaseModel] | None = None
    ) -> list[Problem]:
        """Convert a validation error of this document, or of the part of it at ``prefix``, to problems.

        ``model`` is the class that was validated; its field names are suggested for unknown keys.
        """
        found = []
        details = error.errors(include_url=False)
        for detail in details:
            if detail["type"] == "too_short" and any(_inside(other["loc"], detail["loc"]) for other in details):
                # Only the wrong items, which are reported, are missing.
                continue
            sentence = _sentence(detail["type"], detail["msg"], detail["input"], detail.get("ctx", {}))
            if detail["type"] == "extra_forbidden" and model is not None:
                sentence += one_of(str(detail["loc"][-1]), known_fields(model, detail["loc"][:-1]))
            if sentence:
                secret = isinstance(detail.get("ctx", {}).get("error"), SecretValueError)
                found.append(replace(self.problem((*prefix, *detail["loc"]), sentence), secret=secret))
        return found


def show_place(place: Sequence[str | int]) -> str:
    """Format the path of a field: ``faults[0].podKill.selector``."""
    shown = ""
    for part in place:
        shown += f"[{part}]" if isinstance(part, int) else f".{part}" if shown else part
    return shown


def load_document(file: Path, text: str | None = None) -> Document:
    """Load the only document of a file, or of ``text`` with ``file`` as its name in messages. Raises InputError."""
    documents = load_documents(file, text)
    if len(documents) != 1:
        raise InputError([Problem(f"found {len(documents)} YAML documents, expected one", file)])
    return documents[0]


def load_documents(file: Path, text: str | None = None) -> list[Document]:
    """Load all non-empty documents of a YAML or JSON file. Raises InputError."""
    text = _read(file) if text is None else text
    walk = _Walk(file)
    try:
        return [document for lines, part in json_stream(text) for document in _documents(part, lines, walk)]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise InputError([Problem(f"not valid YAML: {error.problem or error.context}", file, line)]) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"found the character U+{error.character:04X}, expected printable text"
        raise InputError([Problem(f"not valid YAML: {found}", file, line)]) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InputError([Problem(f"not valid YAML: {error}", file)]) from error


def _read(file: Path) -> str:
    try:
        # Reading a pipe or a device (perhaps behind a symbolic link) might never end.
        if file.exists() and not file.is_file():
            raise InputError([Problem("not a regular file", file)])
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError([Problem(f"larger than {MAX_BYTES} bytes", file)])
        return decode(content)
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(error.encoding)
        found = f"cannot be read: found the byte 0x{error.object[error.start]:02x}, expected {error.encoding} text"
        raise InputError([Problem(found, file, before.count("\n") + 1)]) from error
    except OSError as error:
        raise InputError([Problem(f"cannot be read: {error.strerror or error}", file)]) from error


def _documents(text: str, lines: int, walk: _Walk) -> Iterator[Document]:
    """Yield the documents of a text that starts after the first ``lines`` lines of its file."""
    loader = Loader(text, walk.file)
    loader.line = lines
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None and not (isinstance(node, yaml.ScalarNode) and node.tag == NULL):
                yield _document(loader, node, walk)
    finally:
        loader.dispose()


def _document(loader: Loader, root: yaml.Node, walk: _Walk) -> Document:
    lines: dict[Place, int] = {}
    walk.through(root, (), lines)
    if walk.problems:
        raise InputError(walk.problems)
    return Document(walk.file, loader.construct_document(root), lines)


class _Walk:
    """A check of all documents of a file before they are constructed; the number of visited values is limited."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._values = self._characters = 0

    def through(self, node: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
        """Record the line and the problems of every field. Raises InputError when a limit is exceeded."""
        line = node.start_mark.line + 1
        lines.setdefault(place, line)
        self._values += 1
        if self._values > MAX_NODES:
            raise InputError([Problem(f"unfolds to more than {MAX_NODES} values", self.file)])
        if len(place) > MAX_DEPTH:
            raise InputError([too_deep(self.file, line)])
        if node.tag not in KNOWN_TAGS:
            self._add(f"found the tag {node.tag[:MAX_KEY]}, expected none", line, place)
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
            self._add(f"found a {found} as a key, expected text", line, place)
            return
        if len(key.value) > MAX_KEY:
            self._add(f"found a key of {len(key.value)} characters, expected at most {MAX_KEY}", line, place)
            return
        if key.tag not in KNOWN_TAGS:
            at = (*place, key.value)
            self._add(f"found the tag {key.tag[:MAX_KEY]} of a key, expected none", line, at)
            return
        text = key_text(key)
        if text is None:
            found = f"found {shown(key.value)} as a key, which is a number or empty"
            self._add(f"{found}, expected text: write it in quotes", line, place)
            return
        inner = (*place, text)
        self._text(key, line, place)
        if inner in lines:
            self._add(f"duplicate key, first given in line {lines[inner]}", line, inner)
            return
        lines[inner] = line
        self.through(value, inner, lines)

    def _text(self, node: yaml.ScalarNode, line: int, place: Place) -> None:
        self._characters += len(node.value)
        if self._characters > MAX_CHARACTERS:
            raise InputError([Problem(f"unfolds to more than {MAX_CHARACTERS} characters", self.file)])
        if node.tag in NUMBERS and len(node.value) > MAX_DIGITS:
            self._add(f"found a number of {len(node.value)} characters, expected at most {MAX_DIGITS}", line, place)
        elif node.tag == FLOAT and isinstance(found := resolve(node.value), float) and not math.isfinite(found):
            self._add(f"found {node.value}, expected a finite number, or text in quotes", line, place)
        if _HALVES.search(node.value):
            self._add("found half of a character (U+D800 to U+DFFF), expected text", line, place)

    def _add(self, message: str, line: int, place: Place) -> None:
        # A path that contains a lone surrogate could not be printed.
        self.problems.append(Problem(message, self.file, line, _HALVES.sub("�", show_place(place))))
        if len(self.problems) == MAX_PROBLEMS:
            raise InputError(self.problems)


def _inside(inner: Sequence[str | int], outer: Sequence[str | int]) -> bool:
    return len(inner) > len(outer) and tuple(inner[: len(outer)]) == tuple(outer)


def _sentence(kind: str, message: str, found: object, context: Mapping[str, Any]) -> str:
    if kind == "default_factory_not_called":
        # The default depends on another field that is invalid; that field's own problem is enough.
        return ""
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "missing, and it is required"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind in _EXPECTED:
        expected = _EXPECTED[kind].format_map(context)
        if kind == "too_short" and isinstance(found, Mapping):
            expected = f"a mapping with at least {context['min_length']} key"
        return f"found {shown(found)}, expected {expected}"
    return f"found {shown(found)}, expected: {message[:1].lower()}{message[1:]}"
