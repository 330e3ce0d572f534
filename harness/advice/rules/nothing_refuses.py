"""No quota, no policy, or one that only audits: nothing refuses a version that takes more than it should."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.objects import reference
from harness.common.shapes import listed, mapping
from harness.faults.base import Effect

_EXPLAINS = ("rolloutHalts", "replicas")
_ENFORCE = "pod-security.kubernetes.io/enforce"


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    if not explains or not case.has_effect(Effect.WORKLOADS):
        return
    if not any(case.objects("ResourceQuota")):
        name = case.subjects[0].item["metadata"]["name"] if case.subjects else "quota"
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": name},
            "spec": {"hard": {"requests.cpu": "2", "requests.memory": "2Gi", "pods": "20"}},
        }
        yield Advice(
            "no ResourceQuota bounds what the namespace may request",
            "none in the workload",
            Strength.POSSIBLE,
            explains,
            {f"resourcequota/{name}": quota},
        )
    for item in case.objects("ValidatingAdmissionPolicyBinding"):
        actions = [str(action) for action in listed(mapping(item.get("spec")).get("validationActions"))]
        if "Deny" not in actions:
            yield Advice(
                f"{reference(item)} refuses no object that its policy finds wrong",
                f"validationActions is {', '.join(actions)}",
                Strength.LIKELY,
                explains,
                {reference(item): {"spec": {"validationActions": ["Deny"]}}},
            )
    for item in case.objects("Namespace"):
        level = ((item.get("metadata") or {}).get("labels") or {}).get(_ENFORCE, "privileged")
        if level == "privileged":
            yield Advice(
                f"namespace {item['metadata']['name']} enforces no Pod Security Standard",
                f"{_ENFORCE} is {level} or not set",
                Strength.POSSIBLE,
                explains,
                {f"namespace/{item['metadata']['name']}": {"metadata": {"labels": {_ENFORCE: "baseline"}}}},
            )


RULE = Rule("nothing-refuses", _find)
