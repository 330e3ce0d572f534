"""The time that a workload may take to become ready, from its probes, replicas and deadlines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.timeouts import NEXT_POD, WORKLOAD_READY
from harness.engine.steps.deploy import READY_TIME, ReadyTime
from harness.engine.steps.jobs import is_awaited
from harness.experiment.declaration import Experiment
from harness.experiment.workload_checks.pods import PodSource, pod_sources

# Defaults of the Kubernetes API for periodSeconds, failureThreshold and timeoutSeconds.
_PERIOD, _FAILURES, _TIMEOUT = 10.0, 3, 1.0


def ready_time(experiment: Experiment, objects: Sequence[Object]) -> ReadyTime:
    """Return the readyTimeout of the experiment, or else the longest time that its objects allow."""
    if experiment.ready_timeout is not None:
        return ReadyTime(experiment.ready_timeout, "readyTimeout of the experiment")
    return max((READY_TIME, *_each(objects)), key=lambda found: found.seconds)


def _each(objects: Sequence[Object]) -> Iterator[ReadyTime]:
    for source in pod_sources(objects):
        spec = source.item.get("spec") or {}
        if is_awaited(source.item) and (deadline := spec.get("activeDeadlineSeconds")):
            yield ReadyTime(float(deadline), f"activeDeadlineSeconds of {reference(source.item)}")
        if source.item["kind"] not in {"Deployment", "StatefulSet", "DaemonSet", "Rollout"}:
            continue
        name, pod = reference(source.item), _pod_seconds(source)
        settle = float(spec.get("minReadySeconds") or 0)
        parts = [f"{WORKLOAD_READY:g} s for any workload"]
        parts += [f"{pod:g} s for the probes of a pod of {name}"] if pod else []
        parts += [f"{settle:g} s of minReadySeconds"] if settle else []
        seconds = WORKLOAD_READY + pod + settle
        replicas = spec.get("replicas")
        others = (1 if replicas is None else int(replicas)) - 1
        if source.item["kind"] == "StatefulSet" and spec.get("podManagementPolicy") != "Parallel" and others > 0:
            each = NEXT_POD + pod + settle
            seconds += others * each
            parts.append(f"{others} × {each:g} s for its other pods, started one by one")
        yield ReadyTime(seconds, " + ".join(parts))
        if deadline := spec.get("progressDeadlineSeconds"):
            yield ReadyTime(float(deadline), f"progressDeadlineSeconds of {name}")


def _pod_seconds(source: PodSource) -> float:
    """Return the longest time in seconds until a pod is ready, as its probes allow. Sidecars start one by one."""
    sidecars = sum(_startup(container) for place, container in source.containers if place[-2] == "initContainers")
    mains = [_startup(one) + _readiness(one) for place, one in source.containers if place[-2] == "containers"]
    return sidecars + max(mains, default=0.0)


def _startup(container: Mapping[str, Any]) -> float:
    probe = container.get("startupProbe")
    if not probe:
        return 0.0
    failures = int(probe.get("failureThreshold") or _FAILURES)
    # A probe that takes longer than its period delays the next one.
    return _delay(probe) + failures * max(_number(probe, "periodSeconds", _PERIOD), _timeout(probe))


def _readiness(container: Mapping[str, Any]) -> float:
    probe = container.get("readinessProbe")
    if not probe:
        return 0.0
    successes = int(probe.get("successThreshold") or 1)
    # The first probe is covered by the time for any workload; add only a late start and repeated successes.
    return _delay(probe) + (successes - 1) * _number(probe, "periodSeconds", _PERIOD)


def _delay(probe: Mapping[str, Any]) -> float:
    return _number(probe, "initialDelaySeconds", 0.0)


def _timeout(probe: Mapping[str, Any]) -> float:
    return _number(probe, "timeoutSeconds", _TIMEOUT)


def _number(probe: Mapping[str, Any], field: str, default: float) -> float:
    found = probe.get(field)
    return default if found is None else float(found)
