"""A drain that disruption budgets block: one allows nothing, several select a pod, or one protects unready pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.advice.case import Case, Subject, replicas_of
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.client import Object
from harness.common.labels import matches_labels
from harness.experiment.workload_checks.pods import pod_sources


def _spec(budget: Object) -> Mapping[str, Any]:
    return budget.get("spec") or {}


def _name(budget: Object) -> str:
    return f"pdb/{budget['metadata']['name']}"


def _allows_nothing(budget: Object, objects: Sequence[Object]) -> str:
    """Return the setting because of which a budget never allows a disruption; "" if there is none."""
    least, most = _spec(budget).get("minAvailable"), _spec(budget).get("maxUnavailable")
    if most in (0, "0%"):
        return f"maxUnavailable is {most}"
    covered = [each for each in pod_sources(objects) if matches_labels(_spec(budget).get("selector"), each.labels)]
    replicas = sum(replicas_of(each.item) for each in covered)
    if least == "100%" or (isinstance(least, int) and least >= replicas):
        return f"minAvailable is {least}, and the budget selects {replicas} replicas"
    return ""


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles("drained")
    if not explains:
        return
    for subject in case.subjects:
        own = case.budgets(subject)
        if len(own) > 1:
            yield Advice(
                f"several disruption budgets select the pods of {subject.name}: the eviction API evicts none of them",
                f"selected by {' and '.join(map(_name, own))}",
                Strength.OBSERVED,
                explains,
                _without_overlap(subject, own[1:]),
            )
            continue
        for budget in own:
            yield from _of_budget(case, subject, budget, explains)


def _without_overlap(subject: Subject, others: Sequence[Object]) -> dict[str, Any]:
    """Return the change after which one budget selects the pods: without the other budgets or without their labels."""
    own = (subject.spec.get("selector") or {}).get("matchLabels") or {}
    selected = [(_spec(each).get("selector") or {}).get("matchLabels") or {} for each in others]
    labels = {key: None for found in selected for key in found if key not in own}
    return (
        subject.of_spec({"template": {"metadata": {"labels": labels}}}) if labels else dict.fromkeys(map(_name, others))
    )


def _of_budget(case: Case, subject: Subject, budget: Object, explains: tuple[str, ...]) -> Iterator[Advice]:
    unready = sorted({sample.name for sample in subject.victims if sample.alive and not sample.ready})
    if unready and _spec(budget).get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield Advice(
            f"{_name(budget)} protects pods of {subject.name} that are not Ready, and whose eviction would cost nobody",
            f"{', '.join(unready[:4])} was not Ready; unhealthyPodEvictionPolicy is not AlwaysAllow",
            Strength.OBSERVED,
            explains,
            {_name(budget): {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}}},
        )
    elif not unready and (found := _allows_nothing(budget, case.experiment.workload.objects)):
        yield Advice(
            f"{_name(budget)} never allows a disruption: it blocks every drain of a node of {subject.name}",
            found,
            Strength.OBSERVED,
            explains,
            {_name(budget): {"spec": {"maxUnavailable": 1, "minAvailable": None}}},
        )


RULE = Rule("blocked-drain", _find)
