"""No memory limit: a leak grows until the node has no memory left."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength

_EXPLAINS = ("prometheus", "restarts")


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    # A query about memory, or a kill for lack of memory that did not happen.
    queries = [str(getattr(objective, "value", "")) for objective, _ in case.findings if objective.kind == "prometheus"]
    if not explains or not any("memory" in query for query in queries):
        return
    for subject in case.subjects:
        for container in subject.containers:
            if ((container.get("resources") or {}).get("limits") or {}).get("memory"):
                continue
            yield Advice(
                f"container {container['name']} of {subject.name} has no memory limit: a leak takes the node's memory",
                "resources.limits.memory is not set",
                Strength.OBSERVED,
                explains,
                subject.of_container(container, {"resources": {"limits": {"memory": "128Mi"}}}),
            )


RULE = Rule("no-memory-limit", _find)
