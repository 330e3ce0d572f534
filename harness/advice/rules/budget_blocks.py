"""A PodDisruptionBudget that keeps a drain or an eviction from ending."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.labels import matches_labels

_POLICY = "unhealthyPodEvictionPolicy"


def _never(spec: dict[str, Any], replicas: int) -> str:
    """Return the field by which a budget never lets any of so many replicas go, or ""."""
    if spec.get("maxUnavailable") in (0, "0%"):
        return f"maxUnavailable is {spec['maxUnavailable']}"
    least = spec.get("minAvailable")
    if least == "100%" or (isinstance(least, int) and least >= replicas):
        return f"minAvailable is {least} of {replicas} replicas"
    return ""


def _of(case: Case, subject: Subject, budgets: list[Object]) -> Iterator[Advice]:
    explains = case.titles("drained", "recoveryTime")
    names = ", ".join(map(reference, budgets))
    if len(budgets) > 1:
        cause = f"{names} select the same pods of {subject.name}: the eviction API refuses each of them"
        drop: dict[str, Any] = dict.fromkeys(map(reference, budgets[1:]))
        # Where the labels overlap by accident, the pods lose the one that only the second budget selects by.
        extra = (budgets[1]["spec"].get("selector") or {}).get("matchLabels") or {}
        labels = {key: None for key in extra if key not in (subject.spec.get("selector") or {}).get("matchLabels", {})}
        if labels:
            drop |= subject.of_spec({"template": {"metadata": {"labels": labels}}})
        yield Advice(cause, f"{len(budgets)} budgets", Strength.OBSERVED, explains, drop)
    for budget in budgets:
        spec = budget.get("spec") or {}
        if field := _never(spec, int(subject.spec.get("replicas", 1))):
            yield Advice(
                f"{reference(budget)} never lets a replica of {subject.name} go",
                field,
                Strength.OBSERVED,
                explains,
                {reference(budget): {"spec": {"maxUnavailable": 1, "minAvailable": None}}},
            )
        if spec.get(_POLICY, "IfHealthyBudget") == "IfHealthyBudget":
            yield Advice(
                f"{reference(budget)} protects pods that are not Ready too, while it is not met",
                f"{_POLICY} is {spec.get(_POLICY, 'not set')}",
                Strength.LIKELY,
                explains,
                {reference(budget): {"spec": {_POLICY: "AlwaysAllow"}}},
            )


def _find(case: Case) -> Iterator[Advice]:
    if not case.evicts or not case.titles("drained", "recoveryTime"):
        return
    for subject in case.subjects:
        labels = subject.source.labels
        found = [
            item
            for item in case.objects("PodDisruptionBudget")
            if matches_labels((item.get("spec") or {}).get("selector"), labels)
        ]
        yield from _of(case, subject, found)


RULE = Rule("budget-blocks", _find)
