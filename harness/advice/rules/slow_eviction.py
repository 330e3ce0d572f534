"""Pods that stay bound to a lost node for five minutes, since they tolerate its taints for that long by default."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.base import Effect

# DefaultTolerationSeconds of the admission plugin of that name.
_DEFAULT = 300
_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_EXPLAINS = ("recoveryTime", "availability", "invariant", "replicas", "errorRate")


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    if not explains or not case.has_effect(Effect.MACHINES):
        return
    for subject in case.subjects:
        own = {each.get("key"): each for each in subject.pod.get("tolerations") or ()}
        seconds = [float((own.get(taint) or {}).get("tolerationSeconds", _DEFAULT)) for taint in _TAINTS]
        if max(seconds) < 60 or subject.item["kind"] == "DaemonSet":
            continue
        tolerations = [
            {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10} for taint in _TAINTS
        ]
        yield Advice(
            f"the pods of {subject.name} stay bound to a lost node for {max(seconds):g} s before they are replaced",
            "no toleration of its pods says otherwise" if not own else "tolerationSeconds of its pods",
            Strength.LIKELY,
            explains,
            subject.of_pod({"tolerations": tolerations}),
        )


RULE = Rule("slow-eviction", _find)
