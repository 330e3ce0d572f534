"""Twins that fit a workload: each takes away one thing that its resilience rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.experiment.scaffold.draft import TwinDraft
from harness.experiment.scaffold.subject import Subject

# Seconds. A killed pod's processes may serve for two more seconds, so a replacement that is quicker may cost nothing.
REPLACEMENT = 10


def one_replica(
    subject: Subject, breaks: tuple[str, ...], because: str = "", safety: Mapping[str, str] | None = None
) -> TwinDraft:
    """Return the twin with a single replica, whose replacement takes longer than users notice."""
    patch: dict[str, Any] = {
        subject.name: {"spec": {"replicas": 1, "template": _late(subject, REPLACEMENT + subject.delay())}}
    }
    if subject.autoscaler:
        patch[f"hpa/{subject.autoscaler['metadata']['name']}"] = {"spec": {"minReplicas": 1, "maxReplicas": 1}}
    # A budget would protect the only replica from an eviction, and its absence is part of what this twin lacks.
    patch |= dict.fromkeys(subject.budgets)
    replaced = f"no pod serves while the only one is replaced, which takes {REPLACEMENT + subject.delay()} s"
    return TwinDraft("one-replica", because or replaced, patch, breaks, safety or {})


def slow_to_ready(subject: Subject, limit: int, breaks: tuple[str, ...]) -> TwinDraft | None:
    """Return the twin whose pods are ready later than ``limit`` seconds; None if their readiness cannot be delayed."""
    delay = limit + 15 + subject.delay()
    if subject.probe("readinessProbe") is None and subject.port is None:
        return None
    patch = {subject.name: {"spec": {"template": _late(subject, delay)}}}
    return TwinDraft("slow-to-ready", f"a new pod is ready only after {delay} s", patch, breaks)


def recreate(subject: Subject, breaks: tuple[str, ...]) -> TwinDraft:
    """Return the twin whose rollouts remove the old pods first."""
    patch = {subject.name: {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}}
    return TwinDraft("recreate", "the Recreate strategy removes the old pods before the new ones work", patch, breaks)


def is_ordered(subject: Subject) -> bool:
    """Return whether a StatefulSet starts and stops its pods in order."""
    return str(subject.spec.get("podManagementPolicy", "OrderedReady")) == "OrderedReady"


def parallel(subject: Subject, breaks: tuple[str, ...]) -> TwinDraft:
    """Return the twin of a StatefulSet that starts and stops all pods at once."""
    patch = {subject.name: {"spec": {"podManagementPolicy": "Parallel"}}}
    return TwinDraft("parallel", "with podManagementPolicy Parallel all pods stop and start at once", patch, breaks)


def without_probe(subject: Subject, probe: str, because: str, breaks: tuple[str, ...]) -> TwinDraft:
    """Return the twin without a probe of the container that serves."""
    container = {"name": subject.container["name"], probe: None}
    name = {"livenessProbe": "no-liveness-probe", "readinessProbe": "no-readiness-probe"}[probe]
    patch = {subject.name: {"spec": {"template": {"spec": {"containers": [container]}}}}}
    return TwinDraft(name, because, patch, breaks)


def _late(subject: Subject, seconds: int) -> Mapping[str, Any]:
    """Return the patch of a pod template that delays readiness."""
    probe: dict[str, Any] = {"initialDelaySeconds": seconds}
    if subject.probe("readinessProbe") is None:
        if subject.port is None:
            return {}
        probe = {"tcpSocket": {"port": subject.port}, **probe}
    return {"spec": {"containers": [{"name": subject.container["name"], "readinessProbe": probe}]}}
