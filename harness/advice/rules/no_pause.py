"""A rollout that does not wait between its steps: a version that is ready and wrong has all the traffic at once."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.bad_rollout import BadRollout
from harness.model.quantities import counted

_USERS = ("availability", "errorRate", "latency", "prometheus")


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_USERS)
    wrong = {fault.of for fault in case.experiment.faults if isinstance(fault, BadRollout) and fault.bad_though_ready}
    for subject in case.subjects if explains else ():
        seconds = int(subject.spec.get("minReadySeconds") or 0)
        # Shorter than this, a rollout of a few replicas is over before an alert or a person can stop it.
        if subject.item["kind"] != "Deployment" or subject.name not in wrong or seconds >= 10:
            continue
        injected = case.timeline.injected()
        # Old pods that the rollout removed are victims too.
        old = {sample.uid for sample in subject.victims if injected is None or sample.at < injected.low}
        new = {sample.uid for sample in subject.victims if sample.ready} - old
        yield Advice(
            f"a rollout of {subject.name} does not wait for its first new pod to prove itself under traffic",
            f"minReadySeconds is {seconds}; {counted(len(new), 'pod')} of the wrong version became ready",
            Strength.OBSERVED if len(new) > 1 else Strength.LIKELY,
            explains,
            subject.of_spec(
                {"minReadySeconds": 30, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
            ),
        )


RULE = Rule("no-pause", _find)
