"""A readiness probe that passes although the application is not ready, so that requests still reach it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import HANDLERS, Case, handler_of
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.base import Effect


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles("logLines")
    if not explains or not case.has_effect(Effect.APPLICATIONS, Effect.PROCESSES):
        return
    for subject in case.served:
        ready = {sample.name for sample in subject.victims if sample.ready}
        for container in subject.containers:
            probe = container.get("readinessProbe")
            unready = {sample.name for sample in subject.victims if sample.alive and not sample.ready}
            if not probe or unready or not ready:
                continue
            kind = next((key for key in HANDLERS if key in probe), "probe")
            handler = handler_of(container, "startupProbe", "livenessProbe")
            yield Advice(
                f"the readiness probe of container {container['name']} of {subject.name} ({kind}: {probe.get(kind)}) "
                "passes although the application is not ready",
                f"{', '.join(sorted(ready)[:3])} stayed Ready after the fault",
                Strength.OBSERVED,
                explains,
                subject.of_container(container, {"readinessProbe": {**handler, "periodSeconds": 1}}),
            )


RULE = Rule("weak-readiness", _find)
