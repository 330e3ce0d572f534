"""The model of an autoscaler's reaction: how long each part may take from a change of the load to a pod that serves.

The parts come one after the other; each is computed from settings alone:

* metrics: a sample is the mean use between two scrapes of metrics-server, so in the worst case the first one begins
  just before the load changes and the second one shows it: 2 × metric-resolution. The kubelet's own measurement is up
  to one housekeeping interval older. External metrics are read at their source in each sync period; how long the
  source takes to show a change is no setting of the cluster, so an experiment declares it.
* autoscaler: it decides once per sync period. With a stabilization window for scaling up, it takes the lowest of the
  recommendations in that window. The first replica of none is added by KEDA, which looks once per polling interval.
* pod started: created, scheduled and all containers started within 5 s, as in Kubernetes' service level objective for
  the startup latency of pods, which excludes the time to pull images.
* ready: the startup probe and then the readiness probe each succeed as often as they must. The container's own start
  is no setting, so the model assumes that the first probe succeeds.

Sources: "Horizontal Pod Autoscaling" and "Configure Liveness, Readiness and Startup Probes" of the Kubernetes
documentation, the FAQ of metrics-server, and "Pod startup latency SLI/SLO details" of SIG Scalability.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.model.quantities import show_seconds

METRICS, AUTOSCALER, STARTED, READY = "metrics", "autoscaler", "pod started", "ready"
# The startup latency of pods in 99 of 100 cases, without images.
STARTUP_SLO = 5.0
_NAMES = {
    "sync": "HPA sync period",
    "tolerance": "HPA tolerance",
    "resolution": "metric resolution",
    "sampling": "kubelet's sampling",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the reaction: the longest time in seconds, and how it was computed."""

    name: str
    seconds: float
    formula: str


def reaction(
    settings: Mapping[str, Any], image: float = 0.0, metric: float = 0.0, *, from_zero: bool = False
) -> list[Part]:
    """Return the parts in order. ``settings`` is a value of series ``scaling``.

    ``image`` are the seconds for a pull, ``metric`` those until the source of an external metric shows a change;
    ``from_zero`` is whether there was no replica before.
    """
    pull = f" + image {show_seconds(image)}" if image else ""
    ready, how = _ready(settings["ready"] or {})
    return [
        _metrics(settings, metric),
        _decision(settings, from_zero),
        Part(STARTED, STARTUP_SLO + image, f"startup SLO {show_seconds(STARTUP_SLO)}{pull}"),
        Part(READY, ready, how),
    ]


def _metrics(settings: Mapping[str, Any], metric: float) -> Part:
    if settings.get("external"):
        return Part(METRICS, metric, f"external metric {show_seconds(metric)}")
    resolution, sampling = settings["resolution"], settings["sampling"]
    formula = f"2 × metric resolution {show_seconds(resolution)} + kubelet's sampling {show_seconds(sampling)}"
    return Part(METRICS, 2 * resolution + sampling, formula)


def _decision(settings: Mapping[str, Any], from_zero: bool) -> Part:
    if from_zero and (polling := settings.get("polling")) is not None:
        return Part(AUTOSCALER, polling, f"KEDA's polling interval {show_seconds(polling)}")
    window, sync = settings["window"], settings["sync"]
    stabilization = f"stabilization window {show_seconds(window)} + " if window else ""
    return Part(AUTOSCALER, window + sync, f"{stabilization}HPA sync period {show_seconds(sync)}")


def assumed(settings: Mapping[str, Any]) -> str:
    """Return which settings are documented defaults because the cluster's cannot be read; "" if none is."""
    names = ", ".join(_NAMES[name] for name in settings["assumed"])
    return f"not readable in this cluster, so Kubernetes' defaults are assumed: {names}" if names else ""


def _ready(probes: Mapping[str, Mapping[str, float]]) -> tuple[float, str]:
    """Return the longest time of all containers that are probed, since a pod is ready with its last container."""
    found = [(sum(seconds for _, seconds in steps), steps) for steps in map(_steps, probes.values()) if steps]
    if not found:
        return 0.0, "no startup or readiness probe"
    longest, steps = max(found, key=lambda each: each[0])
    return longest, " + ".join(f"{name} {show_seconds(seconds)}" for name, seconds in steps)


def _steps(times: Mapping[str, float]) -> list[tuple[str, float]]:
    return [step for kind in ("startup", "readiness") if f"{kind} period" in times for step in _of_probe(times, kind)]


def _of_probe(times: Mapping[str, float], kind: str) -> Iterator[tuple[str, float]]:
    if delay := times[f"{kind} delay"]:
        yield f"{kind} delay", delay
    successes, period = times[f"{kind} successes"], times[f"{kind} period"]
    # The first attempt comes up to one period after the start, each of the others one period after the one before.
    yield f"{kind} period" if successes == 1 else f"{kind} {successes:g} × period", successes * period
    yield f"{kind} timeout", times[f"{kind} timeout"]
