"""No PodDisruptionBudget: an eviction may take all pods of a workload at once."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength


def _find(case: Case) -> Iterator[Advice]:
    if not case.evicts:
        return
    for subject in case.subjects:
        if case.budgets(subject):
            continue
        name = subject.item["metadata"]["name"]
        gone = {sample.name for sample in subject.victims if not sample.alive}
        found = f"evicted together: {', '.join(sorted(gone)[:4])}" if gone else "none in the workload"
        yield Advice(
            f"no PodDisruptionBudget selects the pods of {subject.name}: evictions may take all of them at once",
            found,
            Strength.OBSERVED if len(gone) > 1 else Strength.LIKELY,
            case.titles(),
            {
                f"pdb/{name}": {
                    "apiVersion": "policy/v1",
                    "kind": "PodDisruptionBudget",
                    "metadata": {"name": name},
                    "spec": {"maxUnavailable": 1, "selector": subject.spec.get("selector") or {}},
                }
            },
        )


RULE = Rule("no-disruption-budget", _find)
