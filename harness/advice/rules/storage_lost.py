"""Data on volumes that end with their pod."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength

_EXPLAINS = ("durability", "identity")
_ENDING = {"emptyDir": "an emptyDir", "ephemeral": "a generic ephemeral volume"}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    for subject in case.subjects if explains else ():
        mounted = {mount["name"] for each in subject.containers for mount in each.get("volumeMounts") or ()}
        for volume in subject.pod.get("volumes") or ():
            kind = next((word for key, word in _ENDING.items() if key in volume), None)
            if kind is None or volume["name"] not in mounted:
                continue
            wanted = ((volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}).get("spec") or _CLAIM
            yield Advice(
                f"volume {volume['name']} of {subject.name} is {kind}, whose data end with the pod",
                "a pod was lost with what it had stored",
                Strength.OBSERVED,
                explains,
                subject.of_spec({"volumeClaimTemplates": [{"metadata": {"name": volume["name"]}, "spec": wanted}]}),
            )


RULE = Rule("storage-lost", _find)
