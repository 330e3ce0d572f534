"""A liveness probe that restarts containers that would serve: it is too eager, or the start takes longer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.advice.case import Case, Subject, handler_of
from harness.advice.rule import Advice, Rule, Strength

_FAILED, _KILLED = "Liveness probe failed", "failed liveness probe, will be restarted"
_EXPLAINS = ("restarts", "recoveryTime", "availability", "errorRate", "invariant")


def _events(case: Case, subject: Subject) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield pod and event of the subject's pods, after the first injection."""
    injected, pods = case.timeline.injected(), {sample.name for sample in subject.seen}
    for seen in case.timeline.observations("events"):
        pod = seen.subject.removeprefix("pod/")
        if pod in pods and isinstance(seen.value, Mapping) and injected is not None and seen.at >= injected.low:
            yield pod, seen.value


def _kills(events: list[tuple[str, Mapping[str, object]]]) -> dict[str, int]:
    """Return how often the kubelet restarted a container of each pod for its liveness probe."""
    found: dict[str, int] = {}
    for pod, event in events:
        if _KILLED in str(event.get("message", "")):
            count = event.get("count")
            found[pod] = max(found.get(pod, 0), count if isinstance(count, int) else 1)
    return found


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    # Too many restarts, not too few.
    too_many = any(finding.comparison == "<=" for finding in case.missed("restarts"))
    for subject in case.subjects if explains else ():
        events = list(_events(case, subject))
        kills = _kills(events)
        again = sorted(pod for pod, count in kills.items() if count > 1)
        if not again and not (too_many and kills):
            continue
        failed = next((text for _, event in events if _FAILED in (text := str(event.get("message", "")))), "")
        for container in subject.containers:
            if container.get("livenessProbe"):
                cause, patch = _cause(subject, container, still_starting=bool(again))
                evidence = f"restarted: {', '.join(sorted(kills)[:3])}: {failed}"
                yield Advice(cause, evidence, Strength.OBSERVED, explains, subject.of_container(container, patch))


def _cause(subject: Subject, container: Mapping[str, Any], *, still_starting: bool) -> tuple[str, dict[str, Any]]:
    """Return the cause, and the change of the container."""
    probe, what = container["livenessProbe"], f"the liveness probe of container {container['name']} of {subject.name}"
    if still_starting and not container.get("startupProbe"):
        start = {**handler_of(container, "livenessProbe"), "periodSeconds": 1, "failureThreshold": 60}
        cause = f"{what} ends containers that are still starting: there is no startup probe"
        return cause, {"startupProbe": start}
    failures, timeout = probe.get("failureThreshold", 3), probe.get("timeoutSeconds", 1)
    cause = f"{what} restarts it after {failures} failures with a timeout of {timeout} s, though it serves"
    return cause, {"livenessProbe": {"timeoutSeconds": 5, "failureThreshold": 3, "periodSeconds": 10}}


RULE = Rule("eager-liveness", _find)
