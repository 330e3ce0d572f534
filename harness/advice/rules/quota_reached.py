"""Pods that a ResourceQuota refuses, as the controller of the workload reported."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength

_EXPLAINS = ("scaleOut", "replicas", "recoveryTime", "invariant", "availability", "rolledBack")
# In the message of the API server's quota plug-in.
_REFUSED = "exceeded quota"


def _refusal(case: Case, subject: Subject) -> str:
    """Return the last message about a pod of the subject that a quota refused from the fault on; "" if none was."""
    found = ""
    for seen in case.states("workloads", subject.name):
        failure = (seen.value.get("conditions") or {}).get("ReplicaFailure") or {}
        message = str(failure.get("message") or "")
        if failure.get("status") == "True" and _REFUSED in message:
            found = message
    return found


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    for subject in case.subjects if explains else ():
        if message := _refusal(case, subject):
            cause = f"a ResourceQuota refuses further pods of {subject.name}"
            yield Advice(cause, message, Strength.OBSERVED, explains)


RULE = Rule("quota-reached", _find)
