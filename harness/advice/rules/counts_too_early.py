"""A version that is ready and fails soon after: its pods count as available as soon as they are ready."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.base import Effect
from harness.model.quantities import counted, show_seconds
from harness.objectives.recovery.pods import PodSample

_EXPLAINS = ("invariant", "availability", "errorRate", "latency", "rolloutHalts")


def _ready_for(case: Case, subject: Subject) -> list[float]:
    """Return for each pod that a rollout created, and that was ready and then failed, how long it was ready."""
    injected = case.timeline.injected()
    old = {sample.uid for sample in subject.seen if injected is None or sample.at < injected.low}
    # Where a fault hits pods too, that they fail shows nothing about their version.
    struck = {victim.uid for injection in case.injections for victim in injection.victims if victim.kind == "Pod"}
    ready: dict[str, PodSample] = {}
    lengths: dict[str, float] = {}
    for sample in subject.seen:
        if sample.uid in old | struck:
            continue
        if sample.ready and sample.uid not in ready:
            ready[sample.uid] = sample
        elif sample.alive and sample.uid in ready and sample.impaired_since(ready[sample.uid]):
            lengths.setdefault(sample.uid, sample.at - ready[sample.uid].at)
    return list(lengths.values())


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    if not explains or not case.has_effect(Effect.WORKLOADS):
        return
    for subject in case.subjects:
        lengths = _ready_for(case, subject)
        seconds = int(subject.spec.get("minReadySeconds") or 0)
        if lengths and seconds < min(lengths):
            yield Advice(
                f"a new pod of {subject.name} counts as available before it has proved that it stays ready",
                f"minReadySeconds is {seconds}; {counted(len(lengths), 'new pod')} failed after at most "
                f"{show_seconds(max(lengths))} as Ready",
                Strength.OBSERVED,
                explains,
                subject.of_spec({"minReadySeconds": max(10, math.ceil(2 * max(lengths)))}),
            )


RULE = Rule("counts-too-early", _find)
