"""A workload's objects, as they are deployed to the namespaces of one experiment instead of the published ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.shapes import mapping
from harness.experiment.isolation.layout import DEFAULT, Layout, is_namespace, shared_labels
from harness.experiment.isolation.rewriting import Certified, Outside, Rewrite, Rewriter
from harness.experiment.isolation.texts import Texts
from harness.model.quantities import counted
from harness.safety.guard import is_cluster_wide

_MOST_SHOWN = 5
# The cluster assigns these anew: the published Service may have them. A fixed nodePort stays, since it may be the only
# one that this machine can reach, such as a port that kind publishes.
_ASSIGNED = ("clusterIPs", "loadBalancerIP", "healthCheckNodePort")


@dataclass(frozen=True, slots=True)
class OwnNamespace:
    """A namespace of the experiment: its name, the published one that it replaces, and what it takes over from it."""

    name: str
    replaces: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Isolated:
    """The objects to apply, and how they differ from the published ones.

    The first of ``namespaces`` is the main one. Its objects have no ``metadata.namespace``, those of the others have.
    ``dropped`` are fields that the cluster assigns anew, ``outside`` references that stay as they are. ``named`` are
    objects whose name was made from their ``generateName``, ``certified`` webhooks with a fixed ``caBundle``.
    """

    namespaces: tuple[OwnNamespace, ...]
    objects: tuple[Object, ...]
    rewrites: tuple[Rewrite, ...]
    dropped: tuple[str, ...]
    outside: tuple[Outside, ...]
    named: tuple[tuple[str, str], ...]
    certified: tuple[Certified, ...]
    layout: Layout

    @classmethod
    def unchanged(cls, objects: Sequence[Object], namespace: str, layout: Layout) -> Self:
        """Return objects that stay in the namespace where they are."""
        own = OwnNamespace(namespace, layout.main, {}, {})
        return cls((own,), tuple(objects), (), (), (), (), (), layout)

    def notes(self) -> list[str]:
        """Return what was changed and what was not, one sentence each; empty for a workload without namespaces."""
        return [*self._renamed(), *self._left()]

    def _renamed(self) -> Iterator[str]:
        for item, prefix in self.named:
            yield f"{item} is named after its generateName {prefix}"
        homes = Counter(str(item["metadata"].get("namespace") or self.namespaces[0].name) for item in self._inside())
        references = Counter(self.layout.meant(each.found) for each in self.rewrites)
        for own in self.namespaces:
            taken = [f"{len(own.labels)} labels" if len(own.labels) > 1 else "1 label"] if own.labels else []
            parts = [counted(homes[own.name], "object"), *taken]
            parts += [counted(references[own.replaces], "reference")] if references[own.replaces] else []
            if (own.replaces or references[own.replaces]) and own.name != own.replaces:
                yield f"namespace {own.replaces or DEFAULT} → {own.name} ({', '.join(parts)})"
        if self.dropped:
            more = len(self.dropped) - _MOST_SHOWN
            shown = "; ".join(self.dropped[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
            yield f"assigned by the cluster instead of fixed: {shown}"

    def _left(self) -> Iterator[str]:
        found: dict[str, list[str]] = {}
        for each in self.outside:
            found.setdefault(each.namespace, []).append(f"{each.found} in {each.item}")
        for hook in self.certified:
            yield (
                f"the certificate for {hook.service} does not fit the new namespace, unless it is issued in the run: "
                f"{hook.item} has a fixed caBundle"
            )
        for namespace, places in found.items():
            shown = ", ".join(dict.fromkeys(places[:_MOST_SHOWN]))
            yield f"not isolated: the workload refers to namespace {namespace}, which it does not contain ({shown})"

    def _inside(self) -> Iterator[Object]:
        yield from (item for item in self.objects if is_cluster_wide(item) is not True)


def isolated(
    objects: Sequence[Object], own: str, layout: Layout | None = None, places: Mapping[str, str] | None = None
) -> Isolated:
    """Return a workload's objects for the namespaces of an experiment. Pure: the objects given are not changed.

    ``own`` is the name of the experiment's main namespace. ``layout`` is that of the published workload, if a twin's
    patch has changed ``objects`` since; ``places`` has other names of the namespaces than ``Layout.places`` gives.
    """
    layout = layout or Layout.of(objects)
    places = places or layout.places(own)
    by = Rewriter(layout, Texts(layout, places))
    made: list[Object] = []
    dropped: list[str] = []
    for item in objects:
        if is_namespace(item) and layout.meant(item["metadata"]["name"]) is not None:
            continue
        new = by.rewritten(item)
        home = layout.home(item)
        if is_cluster_wide(item) is not True and home != layout.main:
            new["metadata"] = {**new["metadata"], "namespace": places.get(home, own)}
        if item.get("kind") == "Service" and item.get("apiVersion") == "v1" and isinstance(item.get("spec"), dict):
            new["spec"] = _without_assigned(new, dropped)
        made.append(new)
    declared = {item["metadata"]["name"]: shared_labels(item) for item in objects if is_namespace(item)}
    namespaces = [OwnNamespace(places[name], name, *declared.get(name, ({}, {}))) for name in layout.names]
    prefixes = ((item, item["metadata"].get("generateName")) for item in objects)
    return Isolated(
        namespaces=tuple(namespaces),
        objects=tuple(made),
        rewrites=tuple(by.rewrites),
        dropped=tuple(dropped),
        outside=tuple(by.outside),
        named=tuple((reference(item), str(prefix)) for item, prefix in prefixes if prefix),
        certified=tuple(by.certified),
        layout=layout,
    )


def _without_assigned(service: Object, dropped: list[str]) -> Object:
    spec = mapping(service.get("spec"))
    kept = {key: value for key, value in spec.items() if key not in _ASSIGNED}
    gone = [f"{key} {spec[key]}" for key in _ASSIGNED if spec.get(key) and not _is_headless(spec)]
    address = spec.get("clusterIP")
    if address and not _is_headless(spec):
        del kept["clusterIP"]
        gone.append(f"clusterIP {address}")
    if _is_headless(spec) and "clusterIPs" in spec:
        kept["clusterIPs"] = spec["clusterIPs"]
    dropped += [f"{what} of {reference(service)}" for what in gone]
    return kept


def _is_headless(spec: Mapping[str, object]) -> bool:
    return spec.get("clusterIP") == "None"
