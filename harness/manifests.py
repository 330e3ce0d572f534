"""A workload: plain Kubernetes manifests from a folder, patched for a twin and rendered for a cluster.

Manifests are data. The one thing that differs between clusters is where images come from, so a string may hold
``${image:NAME}`` or ``${image:NAME:TAG}``: the cluster's own reference of one of the harness's images, with another tag
for the second form.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from harness.cluster.api import Object
from harness.documents import Document, load_documents
from harness.errors import InputError, Problem
from harness.guard import is_cluster_wide, is_harmless

_IMAGE = re.compile(r"\$\{image:([a-z0-9-]+)(?::([A-Za-z0-9_.-]+))?\}")
# Kinds whose spec.template is a pod's.
TEMPLATED = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})
OURS = "resilience/"
_SHORT_KINDS = {"horizontalpodautoscaler": "hpa", "persistentvolumeclaim": "pvc", "poddisruptionbudget": "pdb"}


class _Shape(BaseModel):
    """What the harness itself looks into; the rest is for the API server to judge."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Metadata(_Shape):
    name: str
    namespace: None = None
    labels: dict[str, str] | None = None

    @field_validator("namespace", mode="before")
    @classmethod
    def _none_of_its_own(cls, found: object) -> object:
        if found is not None:
            raise ValueError("found a namespace, expected none: an experiment's workload goes to one of its own")
        return found


class _Manifest(_Shape):
    apiVersion: str  # noqa: N815 - Kubernetes' own name
    kind: str
    metadata: _Metadata
    spec: dict[str, Any] | None = None

    @field_validator("apiVersion")
    @classmethod
    def _not_ours(cls, found: str) -> str:
        if found.startswith(OURS):
            raise ValueError(f"found {found!r}, a file of the harness; expected a Kubernetes object")
        return found


class _Labelled(_Shape):
    labels: dict[str, str] | None = None


class _Template(_Shape):
    metadata: _Labelled | None = None


class _Templated(_Shape):
    template: _Template | None = None


class _WithPods(_Manifest):
    spec: _Templated | None = None  # type: ignore[assignment]


class _Ports(_Shape):
    type: str | None = None
    ports: list[dict[str, Any]] | None = None


class _Service(_Manifest):
    spec: _Ports  # type: ignore[assignment]


_SHAPES: dict[str, type[_Manifest]] = {**dict.fromkeys(TEMPLATED, _WithPods), "Service": _Service}


@dataclass(frozen=True, slots=True)
class Workload:
    """The objects of a workload, each with the document that it came from."""

    folder: Path
    objects: tuple[Object, ...]
    documents: tuple[Document, ...]

    def names(self) -> list[str]:
        """Every object as ``kind/name``, the way experiments refer to it."""
        return [reference(item) for item in self.objects]

    def find(self, name: str) -> Object | None:
        """The object of a ``kind/name``."""
        return next((item for item in self.objects if reference(item) == name), None)

    def pod_labels(self) -> list[Mapping[str, str]]:
        """The labels of every pod template."""
        return [(template.get("metadata") or {}).get("labels") or {} for template in self._templates()]

    def images(self) -> set[str]:
        """The names of the harness's images that the manifests ask for."""
        return {name for item in self.objects for name in images_in(item)}

    def patched(self, patches: Mapping[str, Any]) -> Workload:
        """A copy with each ``kind/name`` merged (see ``merge``) with its patch, or left out for None.

        KeyError: no such object."""
        objects = {reference(item): item for item in self.objects}
        for name, patch in patches.items():
            if patch is None:
                del objects[name]
            else:
                objects[name] = merge(objects[name], patch)
        return Workload(self.folder, tuple(objects.values()), self.documents)

    def misshapen(self) -> Iterator[tuple[str, ValidationError]]:
        """Each object that a patch left in a shape that it cannot have, as ``kind/name``, with what is wrong."""
        for item in self.objects:
            error = _misshape(item)
            if error:
                yield reference(item), error

    def beyond_namespace(self, ask: Callable[[Object], bool] = lambda _: False) -> Iterator[Problem]:
        """Each object that works on more than the experiment's own namespace, which only a disruptive experiment may.

        ``ask`` tells of kinds that are none of Kubernetes' own whether they belong to no namespace.
        """
        for item in self.objects:
            known = is_cluster_wide(item)
            if (ask(item) if known is None else known) and not is_harmless(item):
                yield self._problem(
                    item,
                    f"found {reference(item)}, which belongs to no namespace and works on the whole cluster; expected "
                    "objects of the experiment's namespace, or an experiment that says disruptive: true",
                )

    def rendered(self, image: Callable[[str], str]) -> list[Object]:
        """The objects for a cluster whose image references ``image`` gives."""
        return [render(item, image) for item in self.objects]

    def _problem(self, item: Object, message: str) -> Problem:
        """A problem with the kind of an object, in its file; in the folder when a patch has made it what it is."""
        for document in self.documents:
            if document.data["kind"] == item["kind"] and reference(document.data) == reference(item):
                return document.problem(("kind",), message)
        return Problem(message, self.folder, field="kind")

    def _templates(self) -> Iterator[Object]:
        for item in (item for item in self.objects if item["kind"] in TEMPLATED):
            template = (item.get("spec") or {}).get("template")
            if isinstance(template, dict):
                yield template


def load_workload(folder: Path) -> Workload:
    """All manifests of a folder, in the order of the files' names. Raises InputError with all problems."""
    files = sorted(path for pattern in ("*.yaml", "*.yml") for path in folder.glob(pattern))
    problems: list[Problem] = []
    documents: list[Document] = []
    for file in files:
        if not file.resolve().is_relative_to(folder.resolve()):
            problems.append(Problem("leads out of the workload's folder", file))
            continue
        try:
            documents += load_documents(file)
        except InputError as error:
            problems += error.problems
    for document in documents:
        problems += _check(document)
    if not files:
        problems.append(Problem("holds no *.yaml manifests", folder))
    if problems:
        raise InputError(problems)
    return Workload(folder, tuple(document.data for document in documents), tuple(documents))


def reference(item: Object) -> str:
    """An object as ``kind/name``: ``deployment/podinfo``, ``hpa/podinfo``."""
    kind = str(item["kind"]).lower()
    return f"{_SHORT_KINDS.get(kind, kind)}/{item['metadata']['name']}"


def images_in(value: Any) -> Iterator[str]:  # noqa: ANN401
    """The name of every ``${image:…}`` in any string of a value."""
    for text in _strings(value):
        for found in _IMAGE.finditer(text):
            yield found[1]


def merge(base: Any, patch: Any) -> Any:  # noqa: ANN401
    """A strategic merge: maps are merged, null deletes, lists of named items are merged by name, others replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        merged = copy.deepcopy(base)
        for key, value in patch.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = merge(merged.get(key), value)
        return merged
    if _named(base) and _named(patch):
        merged_items = {item["name"]: copy.deepcopy(item) for item in base}
        for item in patch:
            merged_items[item["name"]] = merge(merged_items.get(item["name"], {}), item)
        return list(merged_items.values())
    return copy.deepcopy(patch)


def render(value: Any, image: Callable[[str], str]) -> Any:  # noqa: ANN401
    """A copy in which every ``${image:…}`` is the reference that ``image`` gives for it."""
    if isinstance(value, str):
        return _IMAGE.sub(lambda found: _reference(image(found[1]), found[2]), value)
    if isinstance(value, dict):
        return {key: render(item, image) for key, item in value.items()}
    if isinstance(value, list):
        return [render(item, image) for item in value]
    return value


def _reference(image: str, tag: str | None) -> str:
    return image if tag is None else f"{image.rsplit(':', 1)[0]}:{tag}"


def _named(items: Any) -> bool:  # noqa: ANN401
    return (
        isinstance(items, list)
        and bool(items)
        and all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in items)
    )


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _check(document: Document) -> list[Problem]:
    data = document.data
    if not isinstance(data, dict):
        return [document.problem((), f"found {type(data).__name__}, expected a Kubernetes object")]
    error = _misshape(data)
    return document.problems(error) if error else []


def _misshape(item: Object) -> ValidationError | None:
    try:
        _SHAPES.get(str(item.get("kind")), _Manifest).model_validate(item)
    except ValidationError as error:
        return error
    return None
