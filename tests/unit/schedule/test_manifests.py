"""The objects of a schedule: restricted pods, one run at a time, and nothing open that a run does not need."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.client import Object
from harness.schedule.manifests import cron_job, manifests
from harness.schedule.pod import runner_arguments
from tests.unit.schedule.given import SETS, values


def _pod(**more: Any) -> Object:
    found: Object = cron_job(values(**more))["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def _policy(**more: Any) -> Object:
    (found,) = [item for item in manifests(values(**more)) if item["kind"] == "NetworkPolicy"]
    return found


def _ports(policy: Object) -> set[int]:
    return {port["port"] for rule in policy["spec"]["egress"] for port in rule.get("ports", ())}


@pytest.mark.parametrize("name", SETS)
def test_pod_meets_the_restricted_standard(name: str) -> None:
    pod = _pod(**SETS[name])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["requests"] or name == "volume of a class"
    kinds = {key for volume in pod["volumes"] for key in volume if key != "name"}
    assert kinds <= {"emptyDir", "configMap", "persistentVolumeClaim"}


def test_runs_never_overlap_and_are_never_repeated() -> None:
    spec = cron_job(values())["spec"]
    assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", "Europe/Berlin")
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    # Applying again must not resume a suspended schedule.
    assert "suspend" not in spec


def test_foreign_cluster_is_named_and_allowed() -> None:
    words = runner_arguments(values(arguments=["--twins"]))
    pytest_words = words[words.index("--") + 1 :]
    assert pytest_words[:2] == ["--cluster=in-cluster", "--cluster-allow=in-cluster"]
    assert pytest_words[-2:] == ["--twins", "experiments/shop.yaml"]


def test_policy_opens_what_a_run_needs_and_no_way_in() -> None:
    policy = _policy()
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]
    assert _ports(policy) == {53, 443, 6443, 10250, 30000}
    assert {"to": [{"namespaceSelector": {}}]} in policy["spec"]["egress"]


def test_policy_opens_the_ports_of_bucket_and_repository() -> None:
    assert 9000 in _ports(_policy(**SETS["bucket"]))
    assert 22 in _ports(_policy(**SETS["git by ssh"]))
    assert 22 not in _ports(_policy(**SETS["git"]))
    assert 8080 in _ports(_policy(**SETS["git on a port"]))
    assert 2222 in _ports(_policy(**SETS["git by ssh URL"]))


def test_secrets_occur_by_name_only() -> None:
    (container,) = _pod(**SETS["bucket"])["containers"]
    found = [entry["valueFrom"]["secretKeyRef"] for entry in container["env"] if "valueFrom" in entry]
    assert found == [
        {"name": "keys", "key": "AWS_ACCESS_KEY_ID"},
        {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"},
    ]
    assert not any("AWS" in word for word in container["args"])


def test_every_object_but_the_namespace_has_the_label() -> None:
    for item in manifests(values()):
        labelled = "resilience.harness/schedule" in item["metadata"]["labels"]
        assert labelled == (item["kind"] != "Namespace")
