"""A canary that gets more of the traffic than users may notice: its share is its share of the replicas."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, replicas_of
from harness.advice.rule import Advice, Rule, Strength
from harness.common.labels import matches_labels
from harness.experiment.workload_checks.pods import pod_sources
from harness.faults.base import Effect

_USERS = ("errorRate", "availability", "latency")


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_USERS)
    if not explains or not case.has_effect(Effect.WORKLOADS):
        return
    sources = pod_sources(case.experiment.workload.objects)
    for service in case.objects("Service"):
        selector = {"matchLabels": (service.get("spec") or {}).get("selector") or {"": ""}}
        behind = [each for each in sources if matches_labels(selector, each.labels)]
        for subject in case.served:
            if len(behind) < 2 or subject.source not in behind:
                continue
            own, total = replicas_of(subject.item), sum(replicas_of(each.item) for each in behind)
            if own > 1:
                yield Advice(
                    f"{subject.name} has {own} of the {total} replicas behind service/{service['metadata']['name']}, "
                    "and so that share of the traffic",
                    case.failures() or "no request failed",
                    Strength.OBSERVED if case.failed else Strength.LIKELY,
                    explains,
                    subject.of_spec({"replicas": 1}),
                )


RULE = Rule("canary-share", _find)
