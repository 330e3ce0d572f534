"""A workload: plain Kubernetes manifests from a folder, patched for a twin and rendered for a cluster.

Manifests are plain data. Only image references differ between clusters, so a string may contain ``${image:NAME}`` or
``${image:NAME:TAG}``, which is replaced by the cluster's reference to an image of the harness, in the second form with
another tag.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, field_validator

from harness.cluster.kube.autoscalers import autoscalers
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.cluster.kube.patches.scope import apply_patch
from harness.cluster.kube.patches.strategic import PatchError
from harness.common.documents import Document, Place, show_place
from harness.common.errors import InputError, Problem
from harness.experiment.isolation import Isolated, Layout, isolated
from harness.experiment.isolation.layout import is_namespace
from harness.experiment.isolation.node_access import node_access
from harness.experiment.manifest_files import KUSTOMIZE, Folder, is_kustomization, named, read_folder
from harness.safety.guard import is_cluster_wide, is_harmless

# The second group has the characters that the OCI distribution specification allows in a tag.
_IMAGE = re.compile(r"\$\{image:([a-z0-9-]+)(?::([A-Za-z0-9_.-]+))?\}")
# Kinds whose spec.template is a pod template.
# Not CronJob: its pod template is deeper, in spec.jobTemplate.spec.
TEMPLATED = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Rollout"})
HARNESS_GROUP = "resilience/"
_MOST_IGNORED = 8
_DISRUPTIVE = "an experiment with disruptive: true"
_WORDS: dict[type, str] = {list: "a list", str: "text", bool: "true or false", type(None): "nothing"}


class _Shape(BaseModel):
    """The fields that the harness itself reads. All others are left to other checks and to the API server."""

    # Strict, since the API server converts no types either: it refuses a number as the value of a label.
    model_config = ConfigDict(extra="allow", strict=True)


class _Metadata(_Shape):
    name: Annotated[str, StringConstraints(min_length=1)]
    # Namespaces of the manifests are replaced by those of the experiment, whose names are built from these.
    namespace: Annotated[str, StringConstraints(pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")] | None = None
    labels: dict[str, str] | None = None


class _Manifest(_Shape):
    apiVersion: str  # noqa: N815 - Kubernetes' own name
    kind: str
    metadata: _Metadata
    spec: dict[str, Any] | None = None

    @field_validator("apiVersion")
    @classmethod
    def _not_for_the_harness(cls, found: str) -> str:
        if found.startswith(HARNESS_GROUP):
            raise ValueError(f"found {found!r}, which is a file for the harness; expected a Kubernetes object")
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
class Origin:
    """Where the objects of a workload come from, and the tool with its version that rendered them, if any."""

    source: str = ""
    tool: str = ""

    def __str__(self) -> str:
        return f"{self.source}, rendered by {self.tool}" if self.tool else self.source


@dataclass(frozen=True, slots=True)
class Workload:
    """The objects of a workload, each with the document that it came from.

    ``ignored`` are the names of other files in the folder, which are not deployed; ``remarks`` are sentences about what
    else the objects lack or have in comparison with their source. ``unpatched`` are the objects before a twin's patch;
    empty if there is none. ``release_namespace`` is the one that a chart was rendered for, if the objects have it.
    """

    folder: Path
    objects: tuple[Object, ...]
    documents: tuple[Document, ...]
    ignored: tuple[str, ...] = ()
    origin: Origin = Origin()
    remarks: tuple[str, ...] = ()
    unpatched: tuple[Object, ...] = ()
    release_namespace: str = ""

    @property
    def layout(self) -> Layout:
        """The namespaces of the workload as published. A twin's patch does not change them."""
        return Layout.of(self.unpatched or self.objects, self.release_namespace)

    def isolated(self, own: str) -> Isolated:
        """Return the objects as they are deployed to ``own``, the main namespace of an experiment, and to others."""
        return isolated(self.objects, own, self.layout)

    @property
    def note(self) -> str:
        """What a user should know about the difference between the source and the objects; empty if there is none."""
        if not self.ignored:
            return "; ".join(self.remarks)
        more = len(self.ignored) - _MOST_IGNORED
        shown = ", ".join(self.ignored[:_MOST_IGNORED]) + (f" and {more} more" if more > 0 else "")
        ignored = f"not deployed from {self.folder}, since kubectl apply -f does not read it either: {shown}"
        return "; ".join((ignored, *self.remarks))

    def names(self) -> list[str]:
        """Return every object as ``kind/name``, as experiments refer to it."""
        return [reference(item) for item in self.objects]

    @property
    def made(self) -> list[str]:
        """The autoscalers that KEDA makes, by the same names: they are objects of the cluster and not of the files."""
        found = [reference(made) for made, item in autoscalers(self.objects) if made is not item]
        return [name for name in found if name not in self.names()]

    def find(self, name: str) -> Object | None:
        """Return the object with a ``kind/name``, or None."""
        return next((item for item in self.objects if reference(item) == name), None)

    def images(self) -> set[str]:
        """Return the names of the harness's images that the manifests use."""
        return {name for item in self.objects for name in images_in(item)}

    def patched(self, patches: Mapping[str, Any]) -> Workload:
        """Return a copy with each ``kind/name`` patched as by kubectl; None as a patch removes the object.

        Raises KeyError for an unknown object, and PatchError for a patch that cannot be applied. The error's place
        begins with the object's name.
        """
        objects = list(self.objects)
        for name, patch in patches.items():
            found = [index for index, item in enumerate(objects) if reference(item) == name]
            if not found:
                raise KeyError(name)
            if len(found) > 1:
                homes = " and ".join(self.layout.home(objects[index]) for index in found)
                raise PatchError(
                    f"found this object in the namespaces {homes}, expected the name of one object", (name,)
                )
            if patch is None:
                del objects[found[0]]
                continue
            try:
                objects[found[0]] = apply_patch(objects[found[0]], patch)
            except PatchError as error:
                raise PatchError(error.message, (name, *error.place)) from error
        return replace(self, objects=tuple(objects), unpatched=self.unpatched or self.objects)

    def malformed(self) -> Iterator[tuple[str, ValidationError]]:
        """Yield each object that a patch made malformed, as ``kind/name``, with the error."""
        for item in self.objects:
            error = _shape_error(item)
            if error:
                yield reference(item), error

    def beyond_namespace(self, ask: Callable[[Object], bool] = lambda _: False) -> Iterator[Problem]:
        """Yield a problem for each object that affects more than its namespace, which needs ``disruptive: true``.

        ``ask`` returns whether an object is cluster-scoped, for kinds that are not built into Kubernetes.
        """
        for item in self.objects:
            if is_namespace(item):
                # Not applied: a namespace of the experiment takes its place.
                continue
            known = is_cluster_wide(item)
            if (ask(item) if known is None else known) and not is_harmless(item):
                yield self.problem(
                    item,
                    ("kind",),
                    f"found {reference(item)}, which is cluster-scoped and affects the whole cluster; expected "
                    f"namespaced objects, or {_DISRUPTIVE}",
                )
        for item, place, what in node_access(self.objects):
            message = f"found {what}, which reaches beyond the namespace; expected none, or {_DISRUPTIVE}"
            yield self.problem(item, place, message)

    def rendered(self, image: Callable[[str], str]) -> list[Object]:
        """Return the objects for a cluster; ``image`` returns its reference to a named image."""
        return [render(item, image) for item in self.objects]

    def problem(self, item: Object, place: Place, message: str) -> Problem:
        """Return a problem at a place in an object, with its file; with the folder if a patch changed the object."""
        # By identity first, since equal objects may occur twice.
        for same in (operator.is_, operator.eq):
            for document in self.documents:
                if same(document.data, item):
                    return document.problem(place, message)
        return Problem(message, self.folder, field=f"{reference(item)}: {show_place(place)}")


def load_workload(folder: Path) -> Workload:
    """Load all manifests that kubectl reads from a folder, sorted by file name. Raises InputError with all problems."""
    return workload_of(folder, read_folder(folder))


def workload_of(folder: Path, found: Folder) -> Workload:
    """Return the workload of documents that were read or rendered. Raises InputError with all problems."""
    documents = tuple(map(named, found.documents))
    problems = [*found.problems, *(problem for document in documents for problem in _check(document))]
    if problems:
        raise InputError(problems)
    return Workload(folder, tuple(document.data for document in documents), documents, found.ignored)


def images_in(value: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the name in every ``${image:…}`` in the strings of a value, at any depth."""
    for text in _strings(value):
        for found in _IMAGE.finditer(text):
            yield found[1]


def render(value: Any, image: Callable[[str], str]) -> Any:  # noqa: ANN401
    """Return a copy with every ``${image:…}`` replaced by the reference that ``image`` returns."""
    if isinstance(value, str):
        return _IMAGE.sub(lambda found: _reference(image(found[1]), found[2]), value)
    if isinstance(value, dict):
        return {key: render(item, image) for key, item in value.items()}
    if isinstance(value, list):
        return [render(item, image) for item in value]
    return value


def _reference(image: str, tag: str | None) -> str:
    if tag is None:
        return image
    # Without the digest, which belongs to the replaced tag. Cut at the last colon: an earlier one belongs to the port
    # of the registry.
    return f"{image.partition('@')[0].rsplit(':', 1)[0]}:{tag}"


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _check(document: Document) -> list[Problem]:
    data = document.data
    if not isinstance(data, dict):
        return [document.problem((), f"found {_WORDS.get(type(data), 'a number')}, expected a Kubernetes object")]
    if is_kustomization(data):
        return [document.problem((), KUSTOMIZE)]
    error = _shape_error(data)
    return document.problems(error) if error else []


def _shape_error(item: Object) -> ValidationError | None:
    try:
        _SHAPES.get(str(item.get("kind")), _Manifest).model_validate(item)
    except ValidationError as error:
        return error
    return None
