"""Which objects of a namespace a selector means: those with its labels, and what belongs to their pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.cluster.kube.client import Object
from harness.common.labels import matches_labels, parse_selector
from harness.common.shapes import listed, mapping
from harness.experiment.workload_checks.pods import PodSource, pod_sources

# The kind and name of an object.
Name = tuple[str, str]


def selected(objects: Sequence[Object], selector: str) -> list[Object]:
    """Return the selected objects in their order; all for an empty selector.

    Selected are the objects whose labels match, what their pods refer to, and what applies to these pods: Services,
    budgets and network policies that select them, autoscalers of their workloads, the roles of their accounts.
    """
    if not selector:
        return list(objects)
    wanted = parse_selector(selector)
    chosen = {name_of(item) for item in objects if wanted.matches(item["metadata"].get("labels") or {})}
    while True:
        more = set(_related([item for item in objects if name_of(item) in chosen], objects)) - chosen
        if not more:
            return [item for item in objects if name_of(item) in chosen]
        chosen |= more


def name_of(item: Object) -> Name:
    """Return the kind and name of an object."""
    return str(item["kind"]), str(item["metadata"]["name"])


def references_of(source: PodSource) -> Iterator[tuple[Name, bool]]:
    """Yield each object that pods refer to by name, and whether they start without it."""
    spec = source.spec
    yield ("ServiceAccount", str(spec.get("serviceAccountName") or "default")), False
    for given in listed(spec.get("imagePullSecrets")):
        yield from _named("Secret", given, "name", optional=True)
    for volume in listed(spec.get("volumes")):
        for part in (volume, *listed(mapping(volume.get("projected")).get("sources"))):
            yield from _named("ConfigMap", part.get("configMap"), "name")
            yield from _named("Secret", part.get("secret"), "secretName")
            yield from _named("Secret", part.get("secret"), "name")
        yield from _named("PersistentVolumeClaim", volume.get("persistentVolumeClaim"), "claimName")
        for driver in ("csi", "cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"):
            for field in ("nodePublishSecretRef", "secretRef"):
                yield from _named("Secret", mapping(volume.get(driver)).get(field), "name")
        yield from _named("Secret", volume.get("azureFile"), "secretName")
    for _, container in source.containers:
        for given in listed(container.get("envFrom")):
            yield from _named("ConfigMap", given.get("configMapRef"), "name")
            yield from _named("Secret", given.get("secretRef"), "name")
        for variable in listed(container.get("env")):
            taken = mapping(variable.get("valueFrom"))
            yield from _named("ConfigMap", taken.get("configMapKeyRef"), "name")
            yield from _named("Secret", taken.get("secretKeyRef"), "name")


def _named(kind: str, given: Any, field: str, *, optional: bool = False) -> Iterator[tuple[Name, bool]]:  # noqa: ANN401 - any JSON value
    found = mapping(given)
    if found.get(field):
        yield (kind, str(found[field])), bool(found.get("optional")) or optional


def _related(chosen: Sequence[Object], objects: Sequence[Object]) -> Iterator[Name]:
    sources = pod_sources(chosen)
    for source in sources:
        yield from (name for name, _ in references_of(source))
    accounts = {str(source.spec.get("serviceAccountName") or "default") for source in sources}
    names = {name_of(item) for item in chosen}
    bound = {name for kind, name in names if kind == "RoleBinding"}
    for item in objects:
        spec = mapping(item.get("spec"))
        match item["kind"]:
            case "Service":
                hit = bool(spec.get("selector")) and _selects({"matchLabels": spec["selector"]}, sources)
            case "PodDisruptionBudget":
                hit = _selects(spec.get("selector"), sources)
            case "NetworkPolicy":
                hit = _selects(spec.get("podSelector"), sources)
            case "HorizontalPodAutoscaler":
                target = mapping(spec.get("scaleTargetRef"))
                hit = (str(target.get("kind")), str(target.get("name"))) in names
            case "RoleBinding":
                hit = any(each.get("name") in accounts for each in listed(item.get("subjects")))
                if item["metadata"]["name"] in bound and mapping(item.get("roleRef")).get("kind") == "Role":
                    yield "Role", str(item["roleRef"]["name"])
            case _:
                hit = False
        if hit:
            yield name_of(item)


def _selects(selector: Mapping[str, Any] | None, sources: Sequence[PodSource]) -> bool:
    return any(matches_labels(selector, source.labels) for source in sources)
