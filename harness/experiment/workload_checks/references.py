"""Check references between the objects of a workload: selectors, ports, volumes, scale targets.

A workload is deployed to a new namespace, so everything that it refers to must be part of it. References that may be
satisfied at run time are accepted: pods and objects that operators create, labels that are added later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.documents import Place
from harness.common.labels import Requirement, Selector, matches_labels
from harness.common.shapes import mapping
from harness.common.suggestions import did_you_mean
from harness.experiment.workload_checks.pods import PodSource, makes_unknown_pods, pod_sources

# Objects that Kubernetes creates in every namespace.
_GIVEN = frozenset({("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")})
_PUT_EVERYWHERE = frozenset({"ConfigMap", "Secret"})
# By kind of autoscaler, the field that names the workload.
_TARGETS = {"HorizontalPodAutoscaler": "scaleTargetRef", "VerticalPodAutoscaler": "targetRef"}
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of an object, at a place in it."""

    item: Object
    place: Place
    message: str


def wrong_links(objects: Sequence[Object], among: Sequence[Object]) -> Iterator[Finding]:
    """Yield each reference of these objects to an object that is not ``among`` the workload's.

    ``objects`` are those with the form that their kinds require. ``among`` may contain malformed ones, whose pods are
    unknown.
    """
    sources = pod_sources(objects)
    unknown = makes_unknown_pods(among) or len(objects) < len(among)
    for source in sources:
        yield from _own_selector(source)
        yield from _inside(source)
    for item in objects:
        if item["kind"] == "Service":
            yield from _service(item, sources, unknown=unknown)
        if item["kind"] in _TARGETS and not makes_unknown_pods(among):
            yield from _scaled(item, among, _TARGETS[item["kind"]])
    # Operators, and pods with permissions from a role binding, may create the missing objects at run time.
    if not any(map(creates_objects, among)):
        for source in sources:
            yield from _needed_objects(source, among)


def creates_objects(item: Object) -> bool:
    """Return whether objects that are not in the manifests may be created because of this one."""
    return makes_unknown_pods([item]) or str(item["kind"]).endswith("RoleBinding")


def _own_selector(source: PodSource) -> Iterator[Finding]:
    selector = (source.item.get("spec") or {}).get("selector")
    if source.place != ("spec", "template") or not isinstance(selector, dict):
        return
    # A ReplicationController's selector is a plain mapping of labels.
    wanted = {"matchLabels": selector} if source.item["kind"] == "ReplicationController" else selector
    if not matches_labels(wanted, source.labels):
        labels = _labels(source.labels)
        place = ("spec", "selector")
        message = f"does not match the labels of the object's pod template ({labels}), expected the same in both"
        yield Finding(source.item, place, message)


def _inside(source: PodSource) -> Iterator[Finding]:
    """Check what containers refer to within their pod: volumes, and ports by name."""
    volumes = [volume.get("name") for volume in source.spec.get("volumes") or ()]
    claims = (source.item.get("spec") or {}).get("volumeClaimTemplates") or ()
    volumes += [(claim.get("metadata") or {}).get("name") for claim in claims]
    for place, container in source.containers:
        for key, name in (("volumeMounts", "name"), ("volumeDevices", "name")):
            for index, mount in enumerate(container.get(key) or ()):
                if mount[name] not in volumes:
                    there = (*place, key, index, name)
                    yield Finding(source.item, there, f"found the volume {mount[name]}{_among(mount[name], volumes)}")
        ports = [str(port.get("name")) for port in container.get("ports") or () if port.get("name")]
        for probe in _PROBES:
            for way in ("httpGet", "tcpSocket"):
                port = ((container.get(probe) or {}).get(way) or {}).get("port")
                if isinstance(port, str) and not port.isdigit() and port not in ports:
                    yield Finding(
                        source.item, (*place, probe, way, "port"), f"found the port {port}{_among(port, ports)}"
                    )


def _service(service: Object, sources: Sequence[PodSource], *, unknown: bool) -> Iterator[Finding]:
    spec = service.get("spec") or {}
    selector = spec.get("selector")
    # Without a selector the endpoints are written by another client, and ExternalName is only a DNS alias.
    if not selector or spec.get("type") == "ExternalName":
        return
    wanted = Selector(tuple(Requirement(key, frozenset({value})) for key, value in selector.items()))
    chosen = [source for source in sources if source.may_match(wanted)]
    if not chosen and not unknown:
        known = "; ".join(dict.fromkeys(f"{reference(one.item)} has {_labels(one.labels)}" for one in sources))
        found = f"found {_labels(selector)}, which matches no pod of the workload ({known or 'it has none'})"
        yield Finding(service, ("spec", "selector"), found)
    ports = [str(port.get("name")) for source in chosen for one in source.serving for port in one.get("ports") or ()]
    for index, port in enumerate(spec.get("ports") or ()):
        target = port.get("targetPort")
        if isinstance(target, str) and not target.isdigit() and chosen and not unknown and target not in ports:
            place = ("spec", "ports", index, "targetPort")
            named = sorted({name for name in ports if name != "None"})
            yield Finding(service, place, f"found the port {target} of its pods{_among(target, named)}")


def _scaled(scaler: Object, objects: Sequence[Object], field: str) -> Iterator[Finding]:
    target = (scaler.get("spec") or {}).get(field) or {}
    name = f"{str(target.get('kind')).lower()}/{target.get('name')}"
    if not any(item["kind"] == target.get("kind") and reference(item) == name for item in objects):
        known = [reference(item) for item in objects if "template" in mapping(item.get("spec"))]
        yield Finding(scaler, ("spec", field), f"found {name}{_among(name, known)}")


def _needed_objects(source: PodSource, objects: Sequence[Object]) -> Iterator[Finding]:
    """Check for objects that must exist in the namespace before a pod can start."""
    there = {(item["kind"], item["metadata"]["name"]) for item in objects} | _GIVEN
    for kind, name, place in _needs(source):
        known = [other for one, other in there if one == kind]
        # A cluster may add ConfigMaps and Secrets to every namespace, so an unknown one is refused only if misspelt.
        if name not in known and (kind not in _PUT_EVERYWHERE or did_you_mean(name, known)):
            found = f"found the {kind} {name}, which pods need to start{_among(name, known)}"
            yield Finding(source.item, (*source.place, "spec", *place), found)


def _needs(source: PodSource) -> Iterator[tuple[str, str, Place]]:
    spec = source.spec
    if account := spec.get("serviceAccountName"):
        yield "ServiceAccount", account, ("serviceAccountName",)
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume_needs(volume, ("volumes", index))
    for place, container in source.containers:
        there = place[len(source.place) + 1 :]
        for index, given in enumerate(container.get("envFrom") or ()):
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                yield from _required(kind, given.get(key), "name", (*there, "envFrom", index, key))
        for index, variable in enumerate(container.get("env") or ()):
            taken = variable.get("valueFrom") or {}
            for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                yield from _required(kind, taken.get(key), "name", (*there, "env", index, "valueFrom", key))


def _volume_needs(volume: Mapping[str, Any], place: Place) -> Iterator[tuple[str, str, Place]]:
    yield from _required("ConfigMap", volume.get("configMap"), "name", (*place, "configMap"))
    yield from _required("Secret", volume.get("secret"), "secretName", (*place, "secret"))
    claim = volume.get("persistentVolumeClaim")
    yield from _required("PersistentVolumeClaim", claim, "claimName", (*place, "persistentVolumeClaim"))
    for index, part in enumerate((volume.get("projected") or {}).get("sources") or ()):
        for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            yield from _required(kind, part.get(key), "name", (*place, "projected", "sources", index, key))


def _required(kind: str, given: Mapping[str, Any] | None, field: str, place: Place) -> Iterator[tuple[str, str, Place]]:
    if given and not given.get("optional") and given.get(field):
        yield kind, str(given[field]), (*place, field)


def _among(found: str, known: Sequence[str | None]) -> str:
    names = sorted({str(name) for name in known if name})
    if not names:
        return ", but there is none"
    near = did_you_mean(str(found), names)
    hint = f"; did you mean {near}?" if near else ""
    return f", expected one of: {', '.join(names)}{hint}"


def _labels(labels: Mapping[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items()) or "no labels"
