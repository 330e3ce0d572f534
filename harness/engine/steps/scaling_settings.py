"""The settings that decide how soon an autoscaler reacts: of the cluster, of the autoscaler, and of its pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from harness.cluster.kube.autoscalers import autoscalers, is_scaled_object, metric_kinds, polling_interval
from harness.cluster.kube.client import Object
from harness.cluster.kube.flags import CONTROLLER_MANAGER, METRICS_SERVER
from harness.cluster.kube.objects import reference
from harness.cluster.kube.quantities import amount_of
from harness.cluster.protocol import Cluster
from harness.experiment.workload_checks.pods import PodSource, pod_sources
from harness.model.quantities import parse_duration

SERIES = "scaling"
_OWN_METRICS = frozenset({"Resource", "ContainerResource"})
# Where each setting is, and the default that the documentation of the component gives for it: "Horizontal Pod
# Autoscaling" for the first two, the manifest of metrics-server, and the kubelet's reference for the last.
_FLAGS = {
    "sync": (CONTROLLER_MANAGER, "horizontal-pod-autoscaler-sync-period", 15.0),
    "tolerance": (CONTROLLER_MANAGER, "horizontal-pod-autoscaler-tolerance", 0.1),
    "resolution": (METRICS_SERVER, "metric-resolution", 15.0),
    "sampling": ("kubelet", "housekeeping-interval", 10.0),
}


def scaling_settings(cluster: Cluster, objects: Sequence[Object]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each autoscaler among the objects (``hpa/NAME``) with its settings, as in series ``scaling``."""
    found = list(autoscalers(objects))
    if not found:
        return
    flags = {component: cluster.flags(component) for component, _, _ in _FLAGS.values()}
    shared: dict[str, Any] = {"assumed": []}
    for name, (component, flag, default) in _FLAGS.items():
        # A component whose flags are readable has the default of a flag that it was not given.
        number = _number(flags[component].get(flag, str(default)))
        shared[name] = default if number is None else number
        if not flags[component] or number is None:
            shared["assumed"].append(name)
    sources = {reference(source.item): source for source in pod_sources(objects)}
    for item, origin in found:
        spec = item["spec"]
        aim = spec["scaleTargetRef"]
        target = f"{str(aim['kind']).lower()}/{aim['name']}"
        up = (spec.get("behavior") or {}).get("scaleUp") or {}
        own = {"tolerance": amount_of(up["tolerance"])} if up.get("tolerance") is not None else {}
        source = sources.get(target)
        yield (
            reference(item),
            {
                **shared,
                **own,
                "target": target,
                "window": float(up.get("stabilizationWindowSeconds") or 0),
                "ready": dict(_probes(source)) if source else None,
                "metrics": list(_metrics(spec.get("metrics") or (), source)) if source else [],
                "external": not _OWN_METRICS.intersection(metric_kinds([origin])),
                "polling": polling_interval(origin) if is_scaled_object(origin) else None,
            },
        )


def _number(text: str) -> float | None:
    """Return a number or the seconds of a duration; None for a form of Go's durations that is not understood."""
    try:
        return float(text)
    except ValueError:
        pass
    with suppress(ValueError):
        found = parse_duration(text)
        return found if isinstance(found, float) else None
    return None


def _probes(source: PodSource) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the times in seconds of the probes that a container must pass before its pod is ready, by its name."""
    for container in source.serving:
        found = {kind: container.get(f"{kind}Probe") for kind in ("startup", "readiness")}
        times = {
            f"{kind} {name}": float(probe.get(field, default))
            for kind, probe in found.items()
            if probe
            for name, field, default in (
                ("delay", "initialDelaySeconds", 0),
                ("period", "periodSeconds", 10),
                ("timeout", "timeoutSeconds", 1),
                ("successes", "successThreshold", 1),
            )
        }
        yield str(container["name"]), times


def _metrics(metrics: Sequence[Mapping[str, Any]], source: PodSource) -> Iterator[dict[str, Any]]:
    """Yield what each metric of CPU or memory permits one pod: {"resource", "container", "per_pod", "target"}.

    ``per_pod`` is an amount; ``target`` is in the unit of the autoscaler's status: percent, or an amount.
    """
    for metric in metrics:
        kind = str(metric.get("type", ""))
        if kind not in _OWN_METRICS:
            continue
        wanted = metric[kind[:1].lower() + kind[1:]]
        resource, only, target = str(wanted["name"]), str(wanted.get("container") or ""), wanted.get("target") or {}
        counted = [each for each in source.serving if only in {"", each["name"]}]
        found = {"resource": resource, "container": only}
        if target.get("averageValue") is not None:
            amount = amount_of(target["averageValue"])
            yield {**found, "per_pod": amount, "target": amount}
        elif target.get("averageUtilization") is not None:
            requests, percent = [_request(each, resource) for each in counted], float(target["averageUtilization"])
            if requests and None not in requests:
                yield {**found, "per_pod": sum(filter(None, requests)) * percent / 100, "target": percent}


def _request(container: Mapping[str, Any], resource: str) -> float | None:
    resources = container.get("resources") or {}
    # The API server copies a limit to a request that is missing.
    found = (resources.get("requests") or {}).get(resource, (resources.get("limits") or {}).get(resource))
    return None if found is None else amount_of(found)
