"""A volume that more pods write to than should: its access mode allows every pod of a node, or of all nodes."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength

_ONE_POD = "ReadWriteOncePod"


def _find(case: Case) -> Iterator[Advice]:
    # Too few pods have other causes.
    explains = tuple(each.title for each, finding in case.broken("invariant") if finding.comparison == "<=")
    claims = {item["metadata"]["name"]: item.get("spec") or {} for item in case.objects("PersistentVolumeClaim")}
    for subject in case.subjects if explains else ():
        used = [
            (volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in subject.pod.get("volumes") or ()
        ]
        for name in filter(claims.__contains__, used):
            modes = claims[name].get("accessModes") or []
            if _ONE_POD not in modes:
                yield Advice(
                    f"every pod of {subject.name} may write to claim {name} at the same time",
                    f"accessModes is {', '.join(modes)}",
                    Strength.LIKELY,
                    explains,
                    {f"pvc/{name}": {"spec": {"accessModes": [_ONE_POD]}}},
                )


RULE = Rule("several-writers", _find)
