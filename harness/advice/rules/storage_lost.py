"""Data on volumes that end with their pod."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength

_EXPLAINS = ("durability", "identity")


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    for subject in case.subjects if explains else ():
        mounted = {mount["name"] for each in subject.containers for mount in each.get("volumeMounts") or ()}
        for volume in subject.pod.get("volumes") or ():
            if "emptyDir" not in volume or volume["name"] not in mounted:
                continue
            claim = {
                "metadata": {"name": volume["name"]},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }
            yield Advice(
                f"volume {volume['name']} of {subject.name} is an emptyDir, whose data end with the pod",
                "a pod was lost with what it had stored",
                Strength.OBSERVED,
                explains,
                subject.of_spec({"volumeClaimTemplates": [claim]}),
            )


RULE = Rule("storage-lost", _find)
