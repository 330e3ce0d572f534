"""What a new experiment is about: the workload that the fault hits, and the Service that users reach it by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.cluster.kube.services import only_inside
from harness.common.errors import InputError, Problem
from harness.common.labels import parse_selector
from harness.common.shapes import listed, mapping
from harness.experiment.manifests import Workload
from harness.experiment.workload_checks.pods import PodSource, pod_sources

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
# Defaults of the Kubernetes API for probes.
PERIOD, FAILURES, TIMEOUT = 10, 3, 1
_HTTP = frozenset({"http", "web", "http-web", "http2", "www"})
_HTTP_PORTS = frozenset({80, 3000, 5000, 8000, 8080, 8888, 9898})


@dataclass(frozen=True, slots=True)
class Entrance:
    """A port of a Service. ``http`` is whether its name, its number or a probe shows that it speaks HTTP."""

    service: Object
    port: Mapping[str, Any]
    http: bool

    @property
    def target(self) -> str:
        """The target of a load, as experiments have it."""
        return f"{reference(self.service)}:{self.port.get('name') or self.port.get('port')}"

    @property
    def only_inside(self) -> str:
        """Why it can be reached only inside the cluster, or ""."""
        return only_inside(self.service)


@dataclass(frozen=True, slots=True)
class Subject:
    """What the fault hits, and how users reach it. ``entrance`` is None without a Service that selects its pods.

    ``replicas`` is None for a DaemonSet. ``notes`` say what was chosen among several.
    """

    workload: Workload
    source: PodSource
    entrance: Entrance | None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``kind/name``, as experiments have it."""
        return reference(self.source.item)

    @property
    def kind(self) -> str:
        return str(self.source.item["kind"])

    @property
    def spec(self) -> Mapping[str, Any]:
        return mapping(self.source.item.get("spec"))

    @property
    def replicas(self) -> int | None:
        if self.kind == "DaemonSet":
            return None
        declared = self.spec.get("replicas")
        autoscaler = self.autoscaler
        least = mapping(autoscaler.get("spec")).get("minReplicas") or 1 if autoscaler else 0
        return max(1 if declared is None else int(declared), int(least))

    @property
    def selector(self) -> str:
        """A label selector for its pods."""
        labels = mapping(mapping(self.spec.get("selector")).get("matchLabels")) or self.source.labels
        return ",".join(f"{key}={value}" if value else key for key, value in labels.items())

    @property
    def container(self) -> Mapping[str, Any]:
        """The container that serves, which is the one behind the entrance, or else the first."""
        containers = [each for place, each in self.source.containers if place[-2] == "containers"]
        wanted = self.entrance.port.get("targetPort", self.entrance.port.get("port")) if self.entrance else None
        for container in containers:
            if any(wanted in (port.get("name"), port.get("containerPort")) for port in _ports(container)):
                return container
        return containers[0] if containers else {}

    @property
    def port(self) -> int | str | None:
        """The port of the container that serves."""
        if self.entrance:
            found: int | str | None = self.entrance.port.get("targetPort", self.entrance.port.get("port"))
            return found
        return next((port.get("containerPort") for port in _ports(self.container)), None)

    def probe(self, name: str) -> Mapping[str, Any] | None:
        """Return a probe of the container that serves, such as ``readinessProbe``."""
        return mapping(self.container.get(name)) or None

    def delay(self) -> int:
        """Return the seconds that probes and minReadySeconds add before a new pod counts."""
        probes = [self.probe(name) or {} for name in ("startupProbe", "readinessProbe")]
        return int(sum(probe.get("initialDelaySeconds") or 0 for probe in probes)) + int(
            self.spec.get("minReadySeconds") or 0
        )

    def detection(self, name: str) -> int:
        """Return the seconds until a probe has failed, at the latest."""
        probe = self.probe(name) or {}
        period = int(probe.get("periodSeconds") or PERIOD)
        failures = int(probe.get("failureThreshold") or FAILURES)
        return math.ceil(period * failures + int(probe.get("timeoutSeconds") or TIMEOUT))

    @property
    def autoscaler(self) -> Object | None:
        """The HorizontalPodAutoscaler that scales it, if any."""
        name = self.source.item["metadata"]["name"]
        for item in self.workload.objects:
            target = mapping(mapping(item.get("spec")).get("scaleTargetRef"))
            if item["kind"] == "HorizontalPodAutoscaler" and (target.get("kind"), target.get("name")) == (
                self.kind,
                name,
            ):
                return item
        return None

    @property
    def budgets(self) -> list[str]:
        """The PodDisruptionBudgets that select its pods, as ``pdb/name``."""
        return [
            reference(item)
            for item in self.workload.objects
            if item["kind"] == "PodDisruptionBudget"
            and _selects(mapping(mapping(mapping(item.get("spec")).get("selector")).get("matchLabels")), self.source)
        ]


def find_subject(workload: Workload, service: str = "", target: str = "") -> Subject:
    """Return the subject of a workload: ``target`` is ``kind/name``, ``service`` is ``NAME`` or ``NAME:PORT``.

    Without them, the pair is chosen that a user most likely means. Raises InputError.
    """
    sources = [source for source in pod_sources(workload.objects) if source.item["kind"] in KINDS]
    if not sources:
        found = ", ".join(workload.names())
        raise InputError([Problem(f"found only {found}; expected a Deployment, StatefulSet or DaemonSet to test")])
    if target:
        named = {reference(source.item): source for source in sources}
        if target not in named:
            raise InputError([Problem(f"found {target!r}, expected one of {', '.join(named)}", field="--target")])
        sources = [named[target]]
    entrances = list(_entrances(workload, sources, service))
    if service and not entrances:
        known = ", ".join(each.target.removeprefix("service/") for each, _ in _entrances(workload, sources, ""))
        expected = f"expected one of {known}" if known else "but no Service selects its pods"
        raise InputError([Problem(f"found {service!r}, {expected}", field="--service")])
    if not entrances:
        chosen = max(sources, key=_likely)
        return Subject(workload, chosen, None, tuple(_target_note(chosen, sources)))
    entrance, chosen = max(entrances, key=lambda pair: (_preference(pair[0]), _likely(pair[1])))
    notes = list(_target_note(chosen, sources))
    others = sorted({each.target for each, _ in entrances} - {entrance.target})
    if others:
        notes.append(f"{entrance.target} takes the load; for another one: --service, {', '.join(others)}")
    return Subject(workload, chosen, entrance, tuple(notes))


def _entrances(workload: Workload, sources: Sequence[PodSource], wanted: str) -> Iterator[tuple[Entrance, PodSource]]:
    name, _, port_name = wanted.removeprefix("service/").partition(":")
    for service in workload.objects:
        spec = mapping(service.get("spec"))
        if service["kind"] != "Service" or spec.get("type") == "ExternalName":
            continue
        if name and service["metadata"]["name"] != name:
            continue
        for source in sources:
            if not _selects(mapping(spec.get("selector")), source):
                continue
            for port in listed(spec.get("ports")):
                named = {str(port.get("name")), str(port.get("port"))}
                if port.get("protocol", "TCP") == "TCP" and (not port_name or port_name in named):
                    yield Entrance(service, port, _speaks_http(port, source)), source


def _selects(labels: Mapping[str, Any], source: PodSource) -> bool:
    if not labels:
        return False
    return source.may_match(parse_selector(",".join(f"{key}={value}" for key, value in labels.items())))


def _speaks_http(port: Mapping[str, Any], source: PodSource) -> bool:
    name, protocol = str(port.get("name") or "").lower(), str(port.get("appProtocol") or "").lower()
    if protocol:
        return protocol in {"http", "kubernetes.io/h2c", "kubernetes.io/ws"}
    if name in _HTTP or name.startswith("http-"):
        return True
    target = port.get("targetPort", port.get("port"))
    if port.get("port") in _HTTP_PORTS or target in _HTTP_PORTS:
        return True
    return any(
        mapping(mapping(container.get(probe)).get("httpGet")).get("port") in {target, port.get("port")}
        for container in source.serving
        for probe in ("readinessProbe", "livenessProbe", "startupProbe")
    )


def _preference(entrance: Entrance) -> tuple[bool, bool, bool]:
    """Prefer what this machine reaches, then HTTP, then what looks like users' traffic rather than metrics."""
    name = str(entrance.port.get("name") or "").lower()
    return not entrance.only_inside, entrance.http, "metrics" not in name and "admin" not in name


def _likely(source: PodSource) -> tuple[int, int]:
    """Prefer Deployments, then more replicas."""
    replicas = mapping(source.item.get("spec")).get("replicas", 1)
    return -KINDS.index(source.item["kind"]), replicas if isinstance(replicas, int) else 1


def _target_note(chosen: PodSource, sources: Sequence[PodSource]) -> Iterator[str]:
    others = [reference(source.item) for source in sources if source is not chosen]
    if others:
        yield f"the fault hits {reference(chosen.item)}; for another one: --target, {', '.join(others)}"


def _ports(container: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [port for port in listed(container.get("ports")) if isinstance(port, dict)]
