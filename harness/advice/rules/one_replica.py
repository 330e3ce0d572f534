"""A single replica: nothing serves while it is replaced."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, replicas_of
from harness.advice.rule import Advice, Rule, Strength

_USERS = ("availability", "errorRate", "latency", "invariant", "recoveryTime", "durability", "identity")
# A quorum of a StatefulSet needs three members; a Deployment needs a second replica.
_ENOUGH = {"StatefulSet": 3, "Deployment": 2}


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_USERS)
    for subject in case.subjects if explains else ():
        kind = subject.item["kind"]
        if kind not in _ENOUGH or replicas_of(subject.item) != 1:
            continue
        yield Advice(
            f"{subject.name} has one replica, so that nothing serves while it is replaced or restarted",
            case.failures() or "spec.replicas is 1",
            Strength.OBSERVED if case.failed and subject.victims else Strength.LIKELY,
            explains,
            subject.of_spec({"replicas": _ENOUGH[kind]}),
        )


RULE = Rule("one-replica", _find)
