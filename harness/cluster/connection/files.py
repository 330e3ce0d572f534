"""Reads and merges kubeconfig files by kubectl's rules.

With ``--kubeconfig FILE`` only that file is read. Otherwise the files of ``KUBECONFIG`` are merged, or
``~/.kube/config`` is read. The first file that has an entry of a name or a ``current-context`` that is not empty wins;
entries are not merged. Missing files are skipped. Relative paths in an entry are relative to its file. The official
Python client differs: the last ``current-context`` wins, and empty files are errors.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from harness.cluster.connection.entries import (
    API_VERSIONS,
    KINDS,
    ClusterEntry,
    ConfigFile,
    ContextEntry,
    UserEntry,
)
from harness.common.documents import Document, load_documents, show_place
from harness.common.errors import InputError, KubeconfigInvalid, Problem

VARIABLE = "KUBECONFIG"
_EXPECTED = {
    "string_type": "text (put it in quotes)",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
Kind = TypeVar("Kind", ClusterEntry, UserEntry, ContextEntry)


@dataclass(frozen=True, slots=True)
class Sourced(Generic[Kind]):
    """An entry and its place in a file."""

    entry: Kind
    document: Document
    place: tuple[str | int, ...]

    @property
    def file(self) -> Path:
        """The file that contains the entry."""
        return self.document.file

    def path(self, text: str) -> Path:
        """Return the absolute path of a path in the entry, which is relative to the folder of the entry's file."""
        return self.file.absolute().parent / text

    def problem(self, field: str, message: str) -> Problem:
        """Return a problem with a field of the entry; an empty ``field`` means the entry itself."""
        place = (*self.place, *filter(None, field.split("/")))
        return Problem(message, self.file, self.document.line(place), show_place(place))


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """The merged files. ``files`` are those that were read, ``sought`` all that were searched for."""

    files: tuple[Path, ...]
    sought: tuple[Path, ...]
    current_context: str
    clusters: Mapping[str, Sourced[ClusterEntry]]
    users: Mapping[str, Sourced[UserEntry]]
    contexts: Mapping[str, Sourced[ContextEntry]]

    @property
    def name(self) -> str:
        """The files, as text for messages."""
        found = ":".join(map(str, self.files))
        return found or f"{':'.join(map(str, self.sought)) or '(none)'} (not found)"


@dataclass(frozen=True, slots=True)
class _Read:
    file: Path
    current_context: str
    clusters: dict[str, Sourced[ClusterEntry]]
    users: dict[str, Sourced[UserEntry]]
    contexts: dict[str, Sourced[ContextEntry]]


def load_kubeconfig(explicit: Path | None = None, environ: Mapping[str, str] | None = None) -> Kubeconfig:
    """Return the kubeconfig of ``--kubeconfig``, of ``KUBECONFIG``, or the default one.

    Raises KubeconfigInvalid with the problems of all files, or if the explicit file is missing.
    """
    sought = _sought(explicit, os.environ if environ is None else environ)
    problems: list[Problem] = []
    found: list[_Read] = []
    for file in sought:
        try:
            if not _missing(file):
                found.append(_read(file))
            elif explicit is not None:
                problems.append(Problem("there is no such file, expected a kubeconfig", file))
        except InputError as error:
            problems += error.problems
    if problems:
        raise KubeconfigInvalid(problems)
    return Kubeconfig(
        files=tuple(read.file for read in found),
        sought=sought,
        current_context=next((read.current_context for read in found if read.current_context), ""),
        clusters=_first(read.clusters for read in found),
        users=_first(read.users for read in found),
        contexts=_first(read.contexts for read in found),
    )


def _sought(explicit: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    if explicit is not None:
        return (expanded(explicit),)
    named = environ.get(VARIABLE, "")
    if named:
        # As in kubectl, a file that is named twice is read once.
        return tuple(dict.fromkeys(Path(part) for part in named.split(os.pathsep) if part))
    return (expanded(Path("~/.kube/config")),)


def expanded(path: Path) -> Path:
    """Return the path with ``~`` replaced by the user's home folder, if there is one."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _missing(file: Path) -> bool:
    try:
        file.stat()
    except FileNotFoundError:
        return True
    except OSError as error:
        raise InputError([Problem(f"cannot be read: {error.strerror or error}", file)]) from error
    return False


def _first(each: Iterable[dict[str, Sourced[Kind]]]) -> dict[str, Sourced[Kind]]:
    merged: dict[str, Sourced[Kind]] = {}
    for entries in each:
        merged = {**entries, **merged}
    return merged


def _read(file: Path) -> _Read:
    """Return the entries of one file. Raises InputError."""
    documents = load_documents(file)
    if len(documents) > 1:
        raise InputError([Problem(f"found {len(documents)} YAML documents, expected one", file)])
    # For kubectl an empty file is a valid kubeconfig without entries.
    document = documents[0] if documents else Document(file, {}, {})
    try:
        whole = ConfigFile.model_validate(document.data)
    except ValidationError as error:
        raise InputError(list(_problems(document, error))) from error
    problems = [
        document.problem((field,), f"found {found!r}, expected {expected[-1]!r}")
        for field, found, expected in (
            ("apiVersion", whole.api_version, API_VERSIONS),
            ("kind", whole.kind, KINDS),
        )
        if found not in expected
    ]
    clusters = [(item.name, item.cluster) for item in whole.clusters]
    users = [(item.name, item.user) for item in whole.users]
    contexts = [(item.name, item.context) for item in whole.contexts]
    read = _Read(
        file,
        whole.current_context,
        _named(document, "clusters", "cluster", clusters, problems),
        _named(document, "users", "user", users, problems),
        _named(document, "contexts", "context", contexts, problems),
    )
    if problems:
        raise InputError(problems)
    return read


def _named(
    document: Document, section: str, key: str, entries: list[tuple[str, Kind]], problems: list[Problem]
) -> dict[str, Sourced[Kind]]:
    found: dict[str, Sourced[Kind]] = {}
    for index, (name, entry) in enumerate(entries):
        # Kubernetes' own decoder refuses it too ("duplicate name").
        if name in found:
            problems.append(document.problem((section, index, "name"), f"found the name {name!r} twice, expected once"))
        found.setdefault(name, Sourced(entry, document, (section, index, key)))
    return found


def _problems(document: Document, error: ValidationError) -> Iterator[Problem]:
    # Messages show only the type of a wrong value: it may be a secret.
    for detail in error.errors(include_url=False):
        kind, found = detail["type"], detail["input"]
        message = (
            str(detail["ctx"]["error"])
            if kind == "value_error"
            else f"found {_type_name(found)}, expected {_EXPECTED.get(kind, detail['msg'])}"
        )
        yield document.problem(detail["loc"], message)


def _type_name(found: object) -> str:
    names: dict[type, str] = {str: "text", bool: "true or false", int: "a number", float: "a number"}
    names |= {list: "a list", dict: "a mapping", type(None): "nothing"}
    return names.get(type(found), "something else")
