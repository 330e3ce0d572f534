"""A container that hangs and is never restarted: it has no liveness probe, or one that does not notice."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import HANDLERS, Case, Subject, handler_of
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.base import Effect
from harness.objectives.recovery.pods import PodSample

_EXPLAINS = ("livenessRestart", "restarts", "recoveryTime", "availability", "errorRate", "latency", "invariant")


def _never_replaced(subject: Subject) -> list[str]:
    """Return the names of the hit pods that ran on to the end with the same containers."""
    first: dict[str, PodSample] = {}
    last: dict[str, PodSample] = {}
    for sample in subject.victims:
        first.setdefault(sample.uid, sample)
        last[sample.uid] = sample
    return [last[uid].name for uid in first if last[uid].alive and not last[uid].restarted_since(first[uid])]


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    if not explains or not case.has_effect(Effect.PROCESSES, Effect.CONTAINERS, Effect.APPLICATIONS):
        return
    for subject in case.subjects:
        stayed = _never_replaced(subject)
        if not stayed:
            continue
        without = [each for each in subject.containers if not each.get("livenessProbe")]
        container = (without or subject.containers)[0]
        what = f"container {container['name']} of {subject.name}"
        cause = f"{what} has no liveness probe, so that nothing restarts it when it hangs"
        if not without:
            kind = next((key for key in HANDLERS if key in container["livenessProbe"]), "probe")
            cause = f"the liveness probe of {what} ({kind}) does not notice this fault"
        probe = {**handler_of(container, "readinessProbe", "startupProbe"), "periodSeconds": 2, "failureThreshold": 3}
        yield Advice(
            cause,
            f"no container of pod {', '.join(stayed[:3])} was restarted after the fault",
            Strength.OBSERVED if without else Strength.LIKELY,
            explains,
            subject.of_container(container, {"livenessProbe": probe}),
        )


RULE = Rule("no-liveness-probe", _find)
