"""The namespaces that a workload's manifests name, and which of them becomes the experiment's main namespace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from harness.cluster.kube.client import Object
from harness.common.shapes import mapping
from harness.safety.guard import is_cluster_wide

# The namespace that kubectl uses for objects without one, unless it is configured otherwise.
DEFAULT = "default"
# The label that every namespace has with its own name as the value.
NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Layout:
    """The namespaces of a workload as published: the main one, and the others in the order of the manifests.

    ``main`` is empty if the manifests name no namespace. ``has_default``: objects without a namespace exist, so that
    references to the namespace ``default`` mean the main one. ``services`` and ``named`` are the Services and all
    objects as (namespace, name). ``is_unique``: the name of the main one was made up, and means nothing else.
    """

    main: str = ""
    others: tuple[str, ...] = ()
    has_default: bool = False
    services: frozenset[tuple[str, str]] = frozenset()
    named: frozenset[tuple[str, str]] = frozenset()
    is_unique: bool = False

    @classmethod
    def of(cls, objects: Sequence[Object], main: str = "") -> Self:
        """Return the layout of a workload. ``main`` is the namespace that a chart was rendered for.

        Without it the namespace with the most objects is the main one, the first of equals."""
        inside = [item for item in objects if is_cluster_wide(item) is not True]
        counted = Counter(filter(None, map(_written, inside)))
        # A namespace may be only declared: for objects that are created at run time, or with `kubectl apply -n`.
        names = [*counted, *(_name(item) for item in objects if is_namespace(item))]
        ordered = sorted(dict.fromkeys(names), key=lambda name: -counted[name])
        # In a chart `default` is the cluster's namespace of this name: objects without one go to that of the release.
        is_unique = bool(main)
        has_default = not main and DEFAULT not in ordered and any(_is_placeless(item) for item in inside)
        main = main or (ordered[0] if ordered else "")
        others = tuple(name for name in dict.fromkeys(names) if name != main)
        made = cls(main, others, has_default)
        places = [(made.home(item), item) for item in inside]
        return cls(
            main,
            others,
            has_default,
            frozenset((home, _name(item)) for home, item in places if item.get("kind") == "Service"),
            frozenset((home, _name(item)) for home, item in places),
            is_unique,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The namespaces as published, the main one first (empty if the manifests name none)."""
        return (self.main, *self.others)

    def meant(self, name: str) -> str | None:
        """Return the workload's namespace that a name refers to, as published; None if it is not one of them."""
        if name in self.others or (name and name == self.main):
            return name
        return self.main if name == DEFAULT and self.has_default else None

    def home(self, item: Object) -> str:
        """Return the namespace of a namespaced object, as published. Objects without one belong to the main one."""
        return _written(item) or self.main

    def places(self, own: str) -> dict[str, str]:
        """Return a name below ``own`` for each namespace: its own name for the main one, with a suffix for others."""
        return self.placed(lambda name: f"{own}-{name}" if name else own)

    def placed(self, name: Callable[[str], str]) -> dict[str, str]:
        """Return the name that ``name`` gives each namespace; it is called with the empty text for the main one."""
        return {self.main: name(""), **{other: name(other) for other in self.others}}


def is_namespace(item: Object) -> bool:
    """Return whether an object is a Namespace."""
    return item.get("kind") == "Namespace" and item.get("apiVersion") == "v1"


def collisions(objects: Sequence[Object], layout: Layout) -> Iterator[tuple[Object, str]]:
    """Yield each object whose kind and name an earlier object in another namespace has, with that namespace."""
    seen: dict[tuple[str, str, str], str] = {}
    for item in objects:
        if is_cluster_wide(item) is True:
            continue
        key = (str(item.get("apiVersion")).rpartition("/")[0], str(item.get("kind")), _name(item))
        home = layout.home(item)
        if seen.setdefault(key, home) != home:
            yield item, seen[key]


def shared_labels(item: Object) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the labels and annotations of a Namespace object that its replacement takes over."""
    metadata = mapping(item.get("metadata"))
    labels = mapping(metadata.get("labels"))
    return {key: value for key, value in labels.items() if key != NAME_LABEL}, mapping(metadata.get("annotations"))


def _written(item: Object) -> str:
    return str(mapping(item.get("metadata")).get("namespace") or "")


def _is_placeless(item: Object) -> bool:
    return not _written(item) and is_cluster_wide(item) is False


def _name(item: Object) -> str:
    return str(mapping(item.get("metadata")).get("name"))
