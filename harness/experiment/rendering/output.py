"""Split the text that a program rendered into documents, each with the file that it was rendered from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.documents import Document, load_documents
from harness.common.errors import InputError, Problem
from harness.common.shapes import mapping
from harness.experiment.manifest_files import flattened

_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_SOURCE = re.compile(r"^# Source: (\S.*)$", re.MULTILINE)


def documents(text: str, file_of: Callable[[str], Path]) -> list[Document]:
    """Return the objects in a rendered text. Raises InputError with all problems.

    ``file_of`` returns the file for the name in a comment ``# Source: NAME``; the name is empty if there is none.
    Documents have no lines, since those of the rendered text are not those of the file.
    """
    found: list[Document] = []
    problems: list[Problem] = []
    for part in _SEPARATOR.split(text):
        source = _SOURCE.search(part)
        file = file_of(source[1].strip() if source else "")
        try:
            found += [described(each) for whole in load_documents(file, part) for each in flattened(whole)]
        except InputError as error:
            problems += [replace(each, line=None, message=_of_rendered(each)) for each in error.problems]
    if problems:
        raise InputError(problems)
    return found


def described(document: Document) -> Document:
    """Return a document that names its object in messages instead of a line."""
    return replace(document, lines={}, prefix=(), subject=subject(document.data))


def subject(data: Any) -> str:  # noqa: ANN401
    """Return ``kind/name`` of an object, as far as it has them."""
    item = mapping(data)
    if item.get("kind") and mapping(item.get("metadata")).get("name"):
        return reference(item)
    return str(item.get("kind") or "rendered object")


def identity(item: Object) -> tuple[str, str, str, str]:
    """Return what distinguishes an object from the others of a rendered text."""
    metadata = mapping(item.get("metadata"))
    return (
        str(item.get("apiVersion")),
        str(item.get("kind")),
        str(metadata.get("namespace") or ""),
        str(metadata.get("name")),
    )


def annotation(item: Object, name: str) -> str | None:
    """Return an annotation of an object that may be malformed; None if it has none of this name."""
    value = mapping(mapping(item.get("metadata")).get("annotations")).get(name)
    return None if value is None else str(value)


def _of_rendered(problem: Problem) -> str:
    line = f" (line {problem.line} of the rendered object)" if problem.line else ""
    return f"{problem.message}{line}"
