"""A StatefulSet whose pods need an order, and that starts and stops them at once: podManagementPolicy Parallel."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles("order")
    for subject in case.subjects if explains else ():
        if subject.item["kind"] == "StatefulSet" and subject.spec.get("podManagementPolicy") == "Parallel":
            yield Advice(
                f"{subject.name} starts and stops its pods at once: podManagementPolicy is Parallel",
                case.missed("order")[0].reason,
                Strength.OBSERVED,
                explains,
                subject.of_spec({"podManagementPolicy": "OrderedReady"}),
            )


RULE = Rule("parallel-members", _find)
