"""Pods that may run in one place only, or that all do: they are lost with it, and nothing can replace them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.base import Effect

_EXPLAINS = ("scaleOut", "availability", "errorRate", "latency", "invariant", "recoveryTime", "replicas", "durability")
_ZONE = "topology.kubernetes.io/zone"


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _binding(case: Case, subject: Subject) -> dict[str, Any]:
    """Return the fields of the pods that bind them to a place."""
    found = {key: subject.pod[key] for key in ("nodeSelector", "nodeName") if subject.pod.get(key)}
    # Jobs that must run beside a service are lost with it on purpose.
    near = (subject.pod.get("affinity") or {}).get("podAffinity") if subject in case.served else None
    return found | {"affinity": {"podAffinity": near}} if near and near.get(_REQUIRED) else found


def _without(binding: Mapping[str, Any]) -> dict[str, Any]:
    return {key: {"podAffinity": None} if key == "affinity" else None for key in binding}


def _spread(subject: Subject) -> bool:
    affinity = (subject.pod.get("affinity") or {}).get("podAntiAffinity")
    return bool(affinity or subject.pod.get("topologySpreadConstraints"))


def _all_on_one(subject: Subject) -> str:
    """Return the node on which all running pods were at the end of the baseline, if there were several."""
    last = {sample.uid: sample for sample in subject.seen if sample.alive and sample.node}
    nodes = {sample.node for sample in last.values()}
    return nodes.pop() if len(nodes) == 1 and len(last) > 1 else ""


def _find(case: Case) -> Iterator[Advice]:
    hits_nodes = any(victim.kind == "Node" for injection in case.injections for victim in injection.victims)
    # Pods can also be chosen by where they run.
    hits_place = any(getattr(fault, key, None) for fault in case.experiment.faults for key in ("node", "zone"))
    explains = case.titles(*_EXPLAINS)
    if not explains or not (hits_nodes or hits_place or case.has_effect(Effect.NODES, Effect.MACHINES)):
        return
    for subject in case.subjects:
        if found := _binding(case, subject):
            yield Advice(
                f"the pods of {subject.name} may run in one place only, and are lost with it",
                f"its pods have {', '.join(f'{key}: {value}' for key, value in found.items())}",
                Strength.OBSERVED,
                explains,
                subject.of_pod(_without(found)),
            )
        elif not _spread(subject):
            node = _all_on_one(subject)
            constraint = {
                "maxSkew": 1,
                "topologyKey": _ZONE,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": subject.spec.get("selector") or {},
            }
            yield Advice(
                f"nothing spreads the pods of {subject.name} over nodes or zones",
                f"all its pods ran on {node}" if node else "no anti-affinity and no topology spread",
                Strength.OBSERVED if node else Strength.POSSIBLE,
                explains,
                subject.of_pod({"topologySpreadConstraints": [constraint]}),
            )


RULE = Rule("bound-to-nodes", _find)
