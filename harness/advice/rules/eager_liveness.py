"""A liveness probe that restarts containers no fault has hit: it is too eager, or the start takes longer."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, Subject, handler_of
from harness.advice.rule import Advice, Rule, Strength
from harness.objectives.recovery.pods import PodSample

_FAILED = "Liveness probe failed"


def _restarted(subject: Subject) -> set[str]:
    """Return the pods that no fault hit and that were restarted all the same."""
    first: dict[str, PodSample] = {}
    found: set[str] = set()
    for sample in subject.seen:
        before = first.setdefault(sample.uid, sample)
        if sample.uid not in subject.hit and any(sample.restarts.get(n, 0) > c for n, c in before.restarts.items()):
            found.add(sample.name)
    return found


def _find(case: Case) -> Iterator[Advice]:
    for subject in case.subjects:
        restarted = _restarted(subject)
        messages = [
            str(seen.value.get("message", ""))
            for seen in case.timeline.observations("events")
            if seen.value and seen.subject.removeprefix("pod/") in restarted
        ]
        failed = next((text for text in messages if _FAILED in text), "")
        for container in subject.containers if failed else ():
            probe = container.get("livenessProbe")
            if not probe:
                continue
            cause = f"the liveness probe of container {container['name']} of {subject.name} restarts healthy pods"
            patch: dict[str, object] = {"livenessProbe": {"timeoutSeconds": 5, "failureThreshold": 3}}
            if not container.get("startupProbe"):
                cause += ", or those that are still starting: it has no startup probe"
                handler = handler_of(container, "livenessProbe")
                patch["startupProbe"] = {**handler, "periodSeconds": 1, "failureThreshold": 60}
            evidence = f"restarted without being hit: {', '.join(sorted(restarted)[:3])}; {failed}"
            yield Advice(cause, evidence, Strength.OBSERVED, case.titles(), subject.of_container(container, patch))


RULE = Rule("eager-liveness", _find)
