"""Read the manifest files of a workload's folder, as ``kubectl apply -f`` does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.common.documents import Document, load_documents
from harness.common.errors import InputError, Problem
from harness.common.file_text import SUFFIXES
from harness.common.real_paths import resolved

KUSTOMIZE = (
    "found a kustomization, which is not a manifest; expected `workload: {kustomize: FOLDER}` in the experiment, "
    "or plain manifests in this folder"
)
KUSTOMIZATIONS = frozenset(("kustomization.yaml", "kustomization.yml", "Kustomization"))
_KUSTOMIZE_GROUP = "kustomize.config.k8s.io/"


@dataclass(frozen=True, slots=True)
class Folder:
    """The content of a folder: a document per object, the problems found, and the names of files that are ignored."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]
    ignored: tuple[str, ...]


def read_folder(folder: Path) -> Folder:
    """Read the .json, .yaml and .yml files of a folder, sorted by name. Subfolders are ignored."""
    problems: list[Problem] = []
    documents: list[Document] = []
    ignored: list[str] = []
    read = 0
    # As kubectl apply -f: files in the order of their names, without subfolders.
    for path in sorted(folder.iterdir()):
        if path.suffix not in SUFFIXES or (path.is_dir() and not path.is_symlink()):
            ignored.append(f"{path.name}/" if path.is_dir() else path.name)
            continue
        read += 1
        if not resolved(path).is_relative_to(resolved(folder)):
            problems.append(Problem("is a link to a file outside the workload's folder", path))
        elif path.name in KUSTOMIZATIONS:
            problems.append(Problem(KUSTOMIZE, path))
        else:
            try:
                documents += [part for document in load_documents(path) for part in flattened(document)]
            except InputError as error:
                problems += error.problems
    if not documents and not problems:
        found = f"found no manifests in {read} files" if read else "found no .yaml, .yml or .json files"
        others = f", only {', '.join(ignored)}" if ignored else ""
        problems.append(Problem(f"{found}{others}; expected at least one Kubernetes object", folder))
    return Folder(tuple(documents), tuple(problems), tuple(ignored))


def named(document: Document) -> Document:
    """Return a document whose object has a name: one with only ``generateName`` gets one that is always the same.

    The API server would add random characters, and apply needs a name. These are digits of a hash of the object.
    """
    data = document.data
    metadata = data.get("metadata") if isinstance(data, dict) else None
    if not isinstance(metadata, dict) or metadata.get("name") or not isinstance(metadata.get("generateName"), str):
        return document
    text = json.dumps(data, sort_keys=True, default=str)
    # The API server shortens the prefix in the same way, to 63 characters with its five.
    name = f"{metadata['generateName'][:58]}{hashlib.sha256(text.encode()).hexdigest()[:5]}"
    return replace(document, data={**data, "metadata": {**metadata, "name": name}})


def is_kustomization(data: dict[str, Any]) -> bool:
    """Return whether an object is a kustomize configuration, which is not an object of the API server."""
    return str(data.get("apiVersion")).startswith(_KUSTOMIZE_GROUP)


def flattened(document: Document) -> Iterator[Document]:
    """Yield the objects of a document: the items of a list (``kind: List``, ``PodList``) at any depth, or itself.

    As in kubectl, a list is recognized by its top-level field ``items``. Items without apiVersion and kind take those
    of the list.
    """
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("items", ""), list | None):
        yield document
        return
    kind = str(data.get("kind") or "").removesuffix("List")
    for index, item in enumerate(data["items"] or ()):
        if isinstance(item, dict) and kind and not item.get("kind") and not item.get("apiVersion"):
            item = {**item, "apiVersion": data.get("apiVersion"), "kind": kind}  # noqa: PLW2901
        yield from flattened(replace(document, data=item, prefix=(*document.prefix, "items", index)))
