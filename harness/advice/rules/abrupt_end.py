"""Pods that end at once although requests are still sent to them: no preStop hook, or no grace period."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.model.requests import Requests

_USERS = ("availability", "errorRate", "latency", "prometheus")
# How long after the end of a pod has begun nodes may still send it new connections.
_SPREADING = 5.0
_SLEEP = {"lifecycle": {"preStop": {"sleep": {"seconds": 3}}}}


def _ends(subject: Subject) -> list[float]:
    """Return when pods of a workload were seen to end, on the timeline."""
    seen: dict[str, float] = {}
    for sample in subject.seen:
        if not sample.alive:
            seen.setdefault(sample.uid, sample.at)
    return list(seen.values())


def _near(failed: Requests, ends: list[float]) -> Requests:
    near = np.zeros(len(failed), np.bool_)
    for end in ends:
        near |= (failed.finished >= end - 1) & (failed.intended <= end + _SPREADING)
    return failed.where(near)


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_USERS)
    for subject in case.served if explains else ():
        near = _near(case.failed, _ends(subject))
        # Where most failures are elsewhere, the end of pods is not what users noticed.
        if not near or 2 * len(near) < len(case.failed):
            continue
        evidence = f"{case.failures(near)} within {_SPREADING:g} s after a pod was told to end"
        if subject.pod.get("terminationGracePeriodSeconds") == 0:
            yield Advice(
                f"the pods of {subject.name} end without a grace period, in the middle of requests",
                evidence,
                Strength.OBSERVED,
                explains,
                subject.of_pod({"terminationGracePeriodSeconds": 30}),
            )
        for container in subject.containers:
            if not (container.get("lifecycle") or {}).get("preStop"):
                yield Advice(
                    f"container {container['name']} of {subject.name} has no preStop hook: it is told to end while "
                    "nodes still send it new connections",
                    evidence,
                    Strength.LIKELY,
                    explains,
                    subject.of_container(container, _SLEEP),
                )


RULE = Rule("abrupt-end", _find)
