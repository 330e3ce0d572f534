"""A ScaledObject of KEDA that never adds the first replica of none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.autoscalers import autoscalers, is_scaled_object, target_of
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference

_ACTIVATION = "activation"


def _never_active(case: Case, item: Object, trigger: Mapping[str, Any]) -> str:
    """Return the threshold of a trigger that never added the first replica of none; "" if it did."""
    metadata = trigger.get("metadata") or {}
    threshold = next((f"{key} is {value}" for key, value in metadata.items() if key.startswith(_ACTIVATION)), "")
    counts = [seen.value.get("desired") for seen in case.states("workloads", target_of(item))]
    return threshold if counts and not any(counts) else ""


def _of(case: Case, item: Object, origin: Object, explains: tuple[str, ...]) -> Iterator[Advice]:
    name, (trigger, *others) = reference(origin), origin["spec"].get("triggers") or [{}]
    if others:
        # Which one decided is not recorded.
        return
    if activation := _never_active(case, item, trigger):
        yield Advice(
            f"{name} was never active: {target_of(item)} stayed at zero", activation, Strength.OBSERVED, explains
        )


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles("scaleOut", "replicas", "durability")
    for item, origin in autoscalers(case.experiment.workload.objects) if explains else ():
        if is_scaled_object(origin):
            yield from _of(case, item, origin, explains)


RULE = Rule("scaled-object", _find)
