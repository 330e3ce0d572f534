"""A version that counts as ready and is wrong gets most of the traffic before anything can notice."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.base import Effect

_USERS = ("availability", "errorRate", "latency", "rolloutHalts", "rolledBack", "restarts")
_GRADUAL = {"minReadySeconds": 10, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_USERS)
    if not explains or not case.has_effect(Effect.WORKLOADS):
        return
    for subject in case.subjects:
        if subject.item["kind"] != "Deployment" or subject.spec.get("minReadySeconds"):
            continue
        surge = ((subject.spec.get("strategy") or {}).get("rollingUpdate") or {}).get("maxSurge", "25%")
        yield Advice(
            f"{subject.name} goes on to the next replica as soon as one is ready: a version that is ready and wrong "
            "gets the traffic in seconds",
            f"minReadySeconds is not set, maxSurge is {surge}; {case.failures() or 'no request failed'}",
            Strength.LIKELY if surge == "100%" or case.failed else Strength.POSSIBLE,
            explains,
            subject.of_spec(_GRADUAL),
        )


RULE = Rule("quick-rollout", _find)
