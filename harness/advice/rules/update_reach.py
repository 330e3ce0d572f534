"""A StatefulSet that updates more pods than it should: a rolling update without a partition, or instead of OnDelete."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.objectives.member_updates import MemberUpdates


def _find(case: Case) -> Iterator[Advice]:
    for objective, finding in case.broken("memberUpdates"):
        for subject in case.subjects:
            if isinstance(objective, MemberUpdates) and subject.name == objective.of:
                yield from _of(subject, objective, finding.reason)


def _of(subject: Subject, objective: MemberUpdates, evidence: str) -> Iterator[Advice]:
    strategy = subject.spec.get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return
    explains = (objective.title,)
    if objective.from_ordinal is None:
        cause = f"{subject.name} replaces all its pods by itself: updateStrategy is RollingUpdate"
        on_delete = {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}
        yield Advice(cause, evidence, Strength.OBSERVED, explains, subject.of_spec(on_delete))
        return
    # The partition counts from the first pod, whatever its number.
    needed = objective.from_ordinal - int((subject.spec.get("ordinals") or {}).get("start", 0))
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if partition < needed:
        cause = f"a rolling update of {subject.name} goes on to pod number {objective.from_ordinal - 1} and below: "
        cause += f"partition is {partition}"
        patch = {"updateStrategy": {"rollingUpdate": {"partition": needed}}}
        yield Advice(cause, evidence, Strength.OBSERVED, explains, subject.of_spec(patch))


RULE = Rule("update-reach", _find)
