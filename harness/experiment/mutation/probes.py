"""Operators that take away a probe of kubelet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.cluster.kube.client import Object
from harness.experiment.mutation.operator import Operator, Patches, of_containers


def _without(probe: str) -> Callable[[Sequence[Object]], Patches]:
    return lambda objects: of_containers(objects, lambda each: {probe: None} if each.get(probe) else {})


NO_READINESS_PROBE = Operator(
    "no-readiness-probe", "the readiness probe is gone", "has no readiness probe", _without("readinessProbe")
)
NO_LIVENESS_PROBE = Operator(
    "no-liveness-probe", "the liveness probe is gone", "has no liveness probe", _without("livenessProbe")
)
NO_STARTUP_PROBE = Operator(
    "no-startup-probe", "the startup probe is gone", "has no startup probe", _without("startupProbe")
)
