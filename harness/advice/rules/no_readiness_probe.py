"""No readiness probe: a pod gets traffic as soon as its containers run, whether it can serve or not."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, handler_of
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.base import Effect

_EXPLAINS = ("availability", "errorRate", "latency", "rolloutHalts", "recoveryTime", "invariant", "logLines")


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    for subject in case.served if explains else ():
        # With a probe on any container the pod is not ready before that one is.
        if any(each.get("readinessProbe") for each in subject.containers):
            continue
        container = subject.containers[0]
        changes_what_runs = case.has_effect(Effect.WORKLOADS, Effect.PROCESSES, Effect.CONTAINERS, Effect.APPLICATIONS)
        yield Advice(
            f"{subject.name} has no readiness probe, so that its pods get traffic whether they can serve or not",
            case.failures() or "a pod counts as ready as soon as its containers run",
            Strength.OBSERVED if case.failed and changes_what_runs else Strength.LIKELY,
            explains,
            subject.of_container(
                container, {"readinessProbe": {**handler_of(container, "livenessProbe"), "periodSeconds": 1}}
            ),
        )


RULE = Rule("no-readiness-probe", _find)
