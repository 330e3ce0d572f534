"""A rollout that runs more pods than desired, where an objective limits all pods of the workload."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.base import Effect


def _find(case: Case) -> Iterator[Advice]:
    if not case.has_effect(Effect.WORKLOADS):
        return
    for subject in (each for each in case.subjects if each.item["kind"] == "Deployment"):
        explains = tuple(
            each.title
            for each, _ in case.broken("invariant")
            if getattr(each, "of", "") == subject.name and getattr(each, "total", None)
        )
        strategy = subject.spec.get("strategy") or {}
        surge = (strategy.get("rollingUpdate") or {}).get("maxSurge", "25%")
        most = max(case.beyond_desired(subject, "replicas"), default=0)
        if explains and most > 0 and strategy.get("type") != "Recreate":
            yield Advice(
                f"a rolling update of {subject.name} runs more pods than desired",
                f"maxSurge is {surge}; it had {most} more than desired",
                Strength.OBSERVED,
                explains,
                subject.of_spec({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}),
            )


RULE = Rule("surge", _find)
