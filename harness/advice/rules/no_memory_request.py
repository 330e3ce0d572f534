"""No memory reserved: when a node runs short of it, these pods are the first that it loses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength

_EXPLAINS = ("evictionOrder", "availability", "errorRate", "latency", "invariant", "restarts", "replicas")
# To be set to what the container uses at most.
_MEMORY = "128Mi"


def _lost(case: Case, subject: Subject) -> str:
    """Return the first pod of a subject that the kubelet evicted after the fault; "" if none was."""
    injected = case.timeline.injected()
    for seen in case.timeline.observations("pods"):
        value = seen.value if isinstance(seen.value, Mapping) else {}
        late = injected is not None and seen.at >= injected.low
        if late and value.get("owner") == subject.name and value.get("reason") == "Evicted":
            return f"pod {seen.subject} was evicted"
    return ""


def _reserves(container: Mapping[str, Any]) -> bool:
    resources = container.get("resources") or {}
    # The API server copies a limit to a request that is missing.
    return any((resources.get(kind) or {}).get("memory") for kind in ("requests", "limits"))


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    for subject in case.subjects if explains else ():
        lost = _lost(case, subject)
        bare = [container for container in subject.containers if not _reserves(container)]
        for container in bare if lost else ():
            yield Advice(
                f"container {container['name']} of {subject.name} reserves no memory, so its pods are evicted first",
                f"{lost}; resources.requests.memory is not set",
                Strength.OBSERVED,
                explains,
                subject.of_container(
                    container, {"resources": {"requests": {"memory": _MEMORY}, "limits": {"memory": _MEMORY}}}
                ),
            )


RULE = Rule("no-memory-request", _find)
