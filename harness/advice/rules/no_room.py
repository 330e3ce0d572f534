"""Pods that no node can take, as the scheduler reported, and namespaces without a quota that may take the room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.client import Object
from harness.model.phase_names import FAULT

# What a namespace may reserve: to be set to what it needs.
_QUOTA = {"spec": {"hard": {"requests.cpu": "2", "requests.memory": "2Gi"}}}
_EXPLAINS = ("scaleOut", "replicas", "recoveryTime", "invariant", "availability", "rolledBack")


def _failure(case: Case, subject: Subject) -> str:
    """Return the scheduler's last message about a pod of the subject that waited after the fault; "" if none did."""
    pods = {f"pod/{sample.name}" for sample in subject.seen}
    fault = case.timeline.phase(FAULT)
    found = ""
    for seen in case.timeline.observations("events"):
        late = fault is not None and seen.at >= fault.start
        if late and seen.subject in pods and isinstance(seen.value, Mapping):
            found = str(seen.value["message"]) if seen.value.get("reason") == "FailedScheduling" else found
    return found


def _unbounded(case: Case, subject: Subject) -> list[str]:
    """Return the other workloads of the experiment that are in a namespace without a quota."""
    bounded = {_namespace(item) for item in case.objects("ResourceQuota")}
    others = [each for each in case.subjects if _namespace(each.item) != _namespace(subject.item)]
    return [each.name for each in others if _namespace(each.item) not in bounded]


def _namespace(item: Object) -> str:
    return str(item["metadata"].get("namespace") or "")


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    named = " ".join(explains)
    subjects = case.subjects if explains else []
    # An objective about one workload is not explained by another one that waits for room.
    for subject in [each for each in subjects if each.name in named] or subjects:
        message = _failure(case, subject)
        if not message:
            continue
        others = _unbounded(case, subject)
        cause = f"no node had room for a pod of {subject.name}"
        if others:
            cause += f"; no ResourceQuota limits what {', '.join(others)} reserves in its namespace"
        quota = {f"resourcequota/{name.partition('/')[2]}": _QUOTA for name in others}
        yield Advice(cause, message, Strength.OBSERVED, explains, quota)


RULE = Rule("no-room", _find)
