"""A container that fails at its start because the one that it needs has not started: containers start together."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.objectives.recovery.pods import PodSample


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles("restarts", "recoveryTime")
    too_many = any(finding.comparison == "<=" for finding in case.missed("restarts"))
    for subject in case.subjects if too_many else ():
        plain = subject.pod.get("containers") or []
        if len(plain) < 2:
            continue
        last: dict[str, PodSample] = {sample.uid: sample for sample in subject.seen if sample.uid not in subject.hit}
        counts = {name: count for sample in last.values() for name, count in sample.restarts.items() if count}
        for needed in (each for each in plain if counts and each["name"] not in counts):
            waiting = ", ".join(sorted(counts))
            sidecar = {**needed, "restartPolicy": "Always"}
            yield Advice(
                f"container {waiting} of {subject.name} failed in new pods, beside {needed['name']}: plain containers "
                "start together, a sidecar (an init container with restartPolicy: Always) starts first",
                f"restarts in pods that no fault hit: {', '.join(f'{name} {count}' for name, count in counts.items())}",
                Strength.LIKELY,
                explains,
                subject.of_pod(
                    {"initContainers": [sidecar], "containers": [{"name": needed["name"], "$patch": "delete"}]}
                ),
            )


RULE = Rule("start-order", _find)
