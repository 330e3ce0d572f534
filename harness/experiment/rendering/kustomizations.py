"""Render a kustomization with ``kubectl kustomize``, or with ``kustomize build``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from harness.common.documents import Document, Place, load_document, load_documents
from harness.common.errors import InputError, Problem
from harness.common.project import ROOT_RULE
from harness.common.real_paths import resolved
from harness.common.shapes import listed, mapping
from harness.experiment.manifest_files import KUSTOMIZATIONS, Folder, flattened
from harness.experiment.manifests import Origin, Workload, workload_of
from harness.experiment.rendering.output import annotation, documents, identity
from harness.experiment.rendering.places import Places
from harness.experiment.rendering.programs import Program, RenderFailed

# Fields that may name the folder of another kustomization, or something to download.
_RESOURCES = ("resources", "bases", "components", "crds", "generators", "transformers", "validators")
ORIGIN = "config.kubernetes.io/origin"
# Ten times as fast where PyYAML was built with libyaml.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_EXPECTED = "expected a folder with a kustomization.yaml"


def render_kustomization(name: str, places: Places, find: Callable[[], Program]) -> Workload:
    """Render a kustomization to a workload of plain manifests. Raises InputError with all problems.

    ``find`` returns the program; it is called after the checks of the files, since it may have to build one.
    """
    place = ("kustomize",)
    folder = places.existing(name, place, "the folder of a kustomization")
    tree = _Tree(places)
    if not tree.add(folder):
        raise InputError([places.problem(place, f"found {name!r}; {_EXPECTED}")])
    if tree.problems:
        raise InputError(tree.problems)
    program = find()
    try:
        text = _build(program, folder)
    except RenderFailed as error:
        message = f"the kustomization {name} cannot be rendered with {program.name}: {error}"
        raise InputError([places.problem(place, message)]) from error
    found = documents(text, lambda _: folder)
    if not found:
        message = f"found a kustomization that renders no object: {name}; expected at least one object"
        raise InputError([places.problem(place, message)])
    sources = _sources(program, folder)
    placed = [_placed(document, sources) for document in found]
    origin = Origin(f"kustomization {name}", str(program))
    return replace(workload_of(folder, Folder(tuple(placed), (), ())), origin=origin)


def _build(program: Program, folder: Path) -> str:
    verb = "kustomize" if program.name == "kubectl" else "build"
    return program.run(verb, str(folder))[0]


@dataclass
class _Tree:
    """The kustomizations that one is made of. All must be folders inside the project: nothing is downloaded."""

    places: Places
    problems: list[Problem] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)

    def add(self, folder: Path) -> bool:
        """Check a kustomization and those that it refers to; return whether there is one."""
        if folder in self.seen:
            return True
        self.seen.add(folder)
        file = next((folder / name for name in sorted(KUSTOMIZATIONS) if (folder / name).is_file()), None)
        if file is None:
            return False
        try:
            document = load_document(file)
        except InputError as error:
            self.problems += error.problems
            return True
        for place, entry in _entries(document.data):
            self._check(document, place, entry)
        return True

    def _check(self, document: Document, place: Place, entry: str) -> None:
        # An inline resource is a text of several lines.
        if "\n" in entry:
            return
        try:
            found = resolved(document.file.parent / entry)
            there = found.exists()
        except (OSError, ValueError):
            there = False
        if not there:
            message = (
                f"found {entry!r}, expected a file or folder: what is remote must be copied into the project first"
            )
            self.problems.append(document.problem(place, message))
        elif not found.is_relative_to(self.places.root):
            outside = f"found {entry!r}, which is {found} outside of the project"
            message = f"{outside}; expected a path in {self.places.root} ({ROOT_RULE})"
            self.problems.append(document.problem(place, message))
        elif found.is_dir() and not self.add(found):
            self.problems.append(document.problem(place, f"found {entry!r}; {_EXPECTED}"))


def _entries(data: Any) -> Iterator[tuple[Place, str]]:  # noqa: ANN401
    for key in _RESOURCES:
        for index, entry in enumerate(listed(mapping(data).get(key))):
            if isinstance(entry, str):
                yield (key, index), entry


def _sources(program: Program, folder: Path) -> dict[tuple[str, str, str, str], Path]:
    """Return the file that each object was made from, according to a second run of kustomize; empty if that fails.

    A second run, since the annotations that it adds must not change what is deployed.
    """
    with tempfile.TemporaryDirectory(prefix="kustomization-") as temporary:
        above = Path(temporary).resolve()
        content = {"resources": [os.path.relpath(folder, above)], "buildMetadata": ["originAnnotations"]}
        (above / "kustomization.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        try:
            # Not `documents`: only names are needed here, and definitions may have megabytes.
            found = list(yaml.load_all(_build(program, above), _LOADER))
        except (RenderFailed, yaml.YAMLError, ValueError):
            return {}
        return {identity(item): file for item in found if isinstance(item, dict) and (file := _origin(item, above))}


def _origin(item: dict[str, Any], above: Path) -> Path | None:
    try:
        found = mapping(yaml.safe_load(annotation(item, ORIGIN) or ""))
    except yaml.YAMLError:
        return None
    path = found.get("path") or found.get("configuredIn")
    if not isinstance(path, str):
        return None
    file = resolved(above / path)
    return file if file.is_file() else None


def _placed(document: Document, sources: dict[tuple[str, str, str, str], Path]) -> Document:
    """Return a document with the file of its object, and the lines of those fields that are unchanged from there."""
    if not isinstance(document.data, dict) or not (file := sources.get(identity(document.data))):
        return document
    return replace(document, file=file, lines=_lines(document.data, file))


def _lines(item: dict[str, Any], file: Path) -> dict[Place, int]:
    try:
        written = [each for whole in load_documents(file) for each in flattened(whole) if isinstance(each.data, dict)]
    except InputError:
        return {}
    name = str(mapping(item.get("metadata")).get("name"))
    same = [each for each in written if each.data.get("kind") == item.get("kind")]
    # kustomize may have added a prefix or a suffix.
    named = [each for each in same if str(mapping(each.data.get("metadata")).get("name")) in name]
    if len(named) != 1:
        return {}
    (source,) = named
    lines = {}
    for whole, line in source.lines.items():
        if whole[: len(source.prefix)] == source.prefix:
            place = whole[len(source.prefix) :]
            if _unchanged(source.data, item, place):
                lines[place] = line
    return lines


def _unchanged(source: Any, item: Any, place: Place) -> bool:  # noqa: ANN401
    """Return whether a field is the same in both; a patch may have moved the items of a list."""
    for key in place:
        try:
            source, item = source[key], item[key]
        except (KeyError, IndexError, TypeError):
            return False
    inside = isinstance(source, dict) and isinstance(item, dict) and all(isinstance(key, str) for key in place)
    return inside or bool(source == item)
