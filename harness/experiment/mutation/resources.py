"""Operators that take away the requests or the limits of compute resources, of containers and of whole pods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.cluster.kube.client import Object
from harness.experiment.mutation.operator import Operator, Patches, containers, of_pods

# Of all others, such as GPUs, the request always equals the limit.
_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def _compute(resources: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in (resources.get(key) or {}).items() if name in _COMPUTE}


def _without_requests(resources: dict[str, Any]) -> dict[str, Any]:
    requests, limits = _compute(resources, "requests"), _compute(resources, "limits")
    # A missing request takes the value of the limit, so beside a limit the request has to be zero.
    patch = {name: "0" if name in limits else None for name in {**requests, **limits}}
    return {"requests": patch} if patch else {}


def _without_limits(resources: dict[str, Any]) -> dict[str, Any]:
    requests, limits = _compute(resources, "requests"), _compute(resources, "limits")
    if not limits:
        return {}
    # A request that was the limit's value stays.
    implied = {name: value for name, value in limits.items() if name not in requests}
    return {"limits": dict.fromkeys(limits), **({"requests": implied} if implied else {})}


def _resources(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Sequence[Object]], Patches]:
    def part(holder: dict[str, Any]) -> dict[str, Any]:
        patch = change(holder.get("resources") or {})
        return {"resources": patch} if patch else {}

    return lambda objects: of_pods(objects, lambda pod: {**part(pod), **containers(pod, part)})


NO_REQUESTS = Operator(
    "no-requests",
    "the resource requests are gone",
    "has no requests of CPU, memory or ephemeral storage",
    _resources(_without_requests),
)
NO_LIMITS = Operator(
    "no-limits",
    "the resource limits are gone",
    "has no limits of CPU, memory or ephemeral storage",
    _resources(_without_limits),
)
