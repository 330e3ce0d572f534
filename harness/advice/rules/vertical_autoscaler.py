"""A vertical autoscaler whose recommendation does not reach the pods: its mode, one replica, or a budget."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference

_CHANGES_RUNNING = "InPlaceOrRecreate"
# What the updater evicts pods from unless minReplicas of the autoscaler has another number.
_LEAST_REPLICAS = 2


def _of(case: Case, subject: Subject) -> Iterator[Object]:
    for item in case.objects("VerticalPodAutoscaler"):
        target = (item.get("spec") or {}).get("targetRef") or {}
        if f"{str(target.get('kind', '')).lower()}/{target.get('name')}" == subject.name:
            yield item


def _find(case: Case) -> Iterator[Advice]:
    broken = [objective for objective, _ in case.broken("podResources")]
    for subject in case.subjects:
        about = [each for each in broken if getattr(each, "of", "") == subject.name]
        titles = tuple(each.title for each in about)
        running = any(not getattr(each, "new_pods", False) for each in about)
        for item in _of(case, subject) if about else ():
            yield from _causes(case, subject, item, titles, running=running)


def _causes(case: Case, subject: Subject, item: Object, titles: tuple[str, ...], *, running: bool) -> Iterator[Advice]:
    name, policy = reference(item), (item.get("spec") or {}).get("updatePolicy") or {}
    mode = policy.get("updateMode", "Auto")
    if mode == "Off" or (mode == "Initial" and running):
        cause = f"{name} changes no {'running ' if mode == 'Initial' else ''}pod of {subject.name}"
        patch = {name: {"spec": {"updatePolicy": {"updateMode": _CHANGES_RUNNING}}}}
        yield Advice(cause, f"updateMode is {mode}", Strength.OBSERVED, titles, patch)
        return
    least, replicas = int(policy.get("minReplicas") or _LEAST_REPLICAS), int(subject.spec.get("replicas", 1))
    if running and replicas < least:
        evidence = f"the workload has {replicas} of at least {least} replicas"
        patch = subject.of_spec({"replicas": least})
        yield Advice(f"{name} evicts no pod of {subject.name}", evidence, Strength.LIKELY, titles, patch)
    for budget in case.budgets(subject) if running else ():
        spec = budget.get("spec") or {}
        if spec.get("maxUnavailable") in {0, "0%"} or spec.get("minAvailable") in {replicas, "100%"}:
            cause = f"{reference(budget)} permits {name} to evict no pod of {subject.name}"
            allowed = {"maxUnavailable": 1, "minAvailable": None}
            yield Advice(cause, f"spec is {spec}", Strength.LIKELY, titles, {reference(budget): {"spec": allowed}})


RULE = Rule("vertical-autoscaler", _find)
