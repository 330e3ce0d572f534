"""No liveness probe: a container that hangs is never restarted."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, Subject, handler_of
from harness.advice.rule import Advice, Rule, Strength
from harness.objectives.recovery.pods import PodSample


def _never_replaced(subject: Subject) -> list[str]:
    """Return the names of the hit pods that ran on to the end with the same containers."""
    first: dict[str, PodSample] = {}
    last: dict[str, PodSample] = {}
    for sample in subject.victims:
        first.setdefault(sample.uid, sample)
        last[sample.uid] = sample
    return [last[uid].name for uid in first if last[uid].alive and not last[uid].restarted_since(first[uid])]


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles()
    for subject in case.subjects:
        without = [each for each in subject.containers if not each.get("livenessProbe")]
        stayed = _never_replaced(subject)
        if not without or not stayed:
            continue
        container = without[0]
        probe = {**handler_of(container, "readinessProbe", "startupProbe"), "periodSeconds": 2, "failureThreshold": 3}
        yield Advice(
            f"container {container['name']} of {subject.name} has no liveness probe, so that nothing restarts it "
            "when it hangs",
            f"no container of pod {', '.join(stayed[:3])} was restarted after the fault",
            Strength.OBSERVED,
            explains,
            subject.of_container(container, {"livenessProbe": probe}),
        )


RULE = Rule("no-liveness-probe", _find)
