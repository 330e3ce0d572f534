"""A StatefulSet that waits for a broken pod to be ready before it replaces it: podManagementPolicy OrderedReady."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.objectives.recovery.pods import PodSample


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles("rolledBack")
    for subject in case.subjects if explains else ():
        if subject.item["kind"] != "StatefulSet":
            continue
        if subject.spec.get("podManagementPolicy", "OrderedReady") != "OrderedReady":
            continue
        # The undo deletes the broken pods.
        last: dict[str, PodSample] = {sample.uid: sample for sample in subject.victims if sample.at < case.undone_from}
        broken = sorted(sample.name for sample in last.values() if sample.alive and not sample.ready)
        if broken:
            yield Advice(
                f"{subject.name} replaces no pod before the broken one is ready: podManagementPolicy is OrderedReady",
                f"{', '.join(broken[:3])} was not Ready until the undo",
                Strength.OBSERVED,
                explains,
                subject.of_spec({"podManagementPolicy": "Parallel"}),
            )


RULE = Rule("ordered-ready", _find)
