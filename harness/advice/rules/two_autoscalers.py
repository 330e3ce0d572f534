"""A horizontal and a vertical autoscaler that act on the same metric of one workload."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.experiment.workload_checks.conflicts import scaled_twice

_EXPLAINS = ("replicas", "scalingSteps", "podResources", "recommendation", "invariant", "availability", "latency")


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    for each in scaled_twice(case.experiment.workload.objects) if explains else ():
        sizes = [seen.value.get("desired") for seen in case.states("autoscalers", each.horizontal)]
        known = [size for size in sizes if size is not None]
        changes = sum(one != other for one, other in pairwise(known))
        other = [name for name in ("cpu", "memory") if name not in each.resources]
        policy = {"containerName": "*", **({"controlledResources": other} if other else {"mode": "Off"})}
        yield Advice(
            str(each),
            f"{each.horizontal} changed its size {changes} times" if changes else "both are in the workload",
            Strength.OBSERVED if changes else Strength.LIKELY,
            explains,
            {each.vertical: {"spec": {"resourcePolicy": {"containerPolicies": [policy]}}}},
        )


RULE = Rule("two-autoscalers", _find)
