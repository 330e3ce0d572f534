"""The stabilization windows of an autoscaler: none before it removes replicas, or a long one before it adds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.autoscalers import autoscalers, is_scaled_object
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference

_EXPLAINS_REMOVED = ("scalingSteps", "invariant", "replicas", "latency", "availability", "errorRate")
_EXPLAINS_LATE = ("replicas", "latency", "availability", "errorRate")
# The default in seconds before replicas are removed; before some are added there is none.
_DEFAULT = 300


def _patch(origin: Object, direction: str, seconds: int) -> dict[str, Any]:
    behavior = {"behavior": {direction: {"stabilizationWindowSeconds": seconds}}}
    nested = {"advanced": {"horizontalPodAutoscalerConfig": behavior}}
    return {reference(origin): {"spec": nested if is_scaled_object(origin) else behavior}}


def _removed(case: Case, name: str, window: int, origin: Object) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS_REMOVED)
    seen = (state.value.get("desired") for state in case.states("autoscalers", name))
    sizes = [size for size in seen if size is not None]
    falls = [index for index, (one, other) in enumerate(pairwise(sizes), start=1) if other < one]
    if not explains or not falls or window >= _DEFAULT:
        return
    distinct = sizes[:1] + [other for one, other in pairwise(sizes) if other != one]
    again = max(sizes[falls[0] :]) > sizes[falls[0]]
    yield Advice(
        f"{name} removes replicas {f'{window} s after' if window else 'with'} the first metrics that permit it",
        f"scaleDown.stabilizationWindowSeconds is {window}, by default {_DEFAULT}; it wanted "
        f"{', then '.join(map(str, distinct))} replicas",
        # What it wanted again it should not have removed.
        Strength.OBSERVED if again else Strength.LIKELY,
        explains,
        _patch(origin, "scaleDown", _DEFAULT),
    )


def _late(case: Case, name: str, window: int, origin: Object) -> Iterator[Advice]:
    if window and (explains := case.titles(*_EXPLAINS_LATE)):
        yield Advice(
            f"{name} waits {window} s before it adds replicas",
            f"scaleUp.stabilizationWindowSeconds is {window}, by default 0",
            Strength.LIKELY,
            explains,
            _patch(origin, "scaleUp", 0),
        )


def _window(spec: Mapping[str, Any], direction: str, default: int) -> int:
    found = ((spec.get("behavior") or {}).get(direction) or {}).get("stabilizationWindowSeconds")
    return default if found is None else int(found)


def _find(case: Case) -> Iterator[Advice]:
    for item, origin in autoscalers(case.experiment.workload.objects):
        name, spec = reference(item), item.get("spec") or {}
        yield from _removed(case, name, _window(spec, "scaleDown", _DEFAULT), origin)
        yield from _late(case, name, _window(spec, "scaleUp", 0), origin)


RULE = Rule("stabilization", _find)
