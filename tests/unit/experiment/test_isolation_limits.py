"""What cannot be moved to an experiment's namespaces, found in the manifests alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.experiment.loading import load_experiment
from harness.experiment.manifests import Workload, load_workload
from harness.experiment.sources import Sources
from harness.experiment.workload_checks import load_checked
from tests.fake_run import EXPERIMENT, write_project

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: a.example/web}]}
"""


def problems(folder: Path, text: str) -> list[str]:
    (folder / "a.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_checked(folder)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_all_that_cannot_be_isolated_is_reported_at_once(tmp_path: Path) -> None:
    text = """\
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {externalIPs: [203.0.113.9], ports: [{port: 1}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: b}
spec: {volumeName: disk-1, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: c, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
"""
    found = problems(tmp_path, text)
    assert [each.partition(": found")[0] for each in found] == [
        "a.yaml:4: spec.externalIPs",
        "a.yaml:9: spec.volumeName",
        "a.yaml:14: roleRef.name",
    ]


def test_claim_of_a_volume_of_the_workload_is_accepted(tmp_path: Path) -> None:
    text = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: b}
spec: {volumeName: disk-1, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk-1}
spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, hostPath: {path: /x}}
"""
    (tmp_path / "a.yaml").write_text(text)
    assert load_checked(tmp_path).names() == ["pvc/b", "persistentvolume/disk-1"]


def test_one_name_in_two_namespaces_is_refused(tmp_path: Path) -> None:
    text = f"{DEPLOYMENT.replace('NAMESPACE', 'one')}---\n{DEPLOYMENT.replace('NAMESPACE', 'two')}"
    (found,) = problems(tmp_path, text)
    assert "found deployment/web in the namespaces one and two, expected a name that is unique" in found


def test_settings_may_have_one_name_in_two_namespaces(tmp_path: Path) -> None:
    config = "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: settings, namespace: {}}}}}\n"
    (tmp_path / "a.yaml").write_text("---\n".join(config.format(name) for name in ("one", "two")))
    workload = load_checked(tmp_path)
    assert len(workload.isolated("own").objects) == 2
    with pytest.raises(Exception, match="found this object in the namespaces one and two"):
        workload.patched({"configmap/settings": {"data": {"a": "b"}}})


def test_second_object_in_one_namespace_is_refused(tmp_path: Path) -> None:
    config = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: one}}\n"
    assert "found a second configmap/settings" in problems(tmp_path, f"{config}---\n{config}")[0]


def test_references_end_at_the_namespace(tmp_path: Path) -> None:
    """A Service selects no pods of another namespace."""
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: two}\n"
        "spec: {selector: {app: web}, ports: [{port: 1}]}\n"
    )
    (found,) = problems(tmp_path, f"{DEPLOYMENT.replace('NAMESPACE', 'one')}---\n{service}")
    assert "found app=web, which matches no pod of the workload" in found


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("hostNetwork: true", "spec.template.spec.hostNetwork: found hostNetwork, the network of the node"),
        ("hostPID: true", "spec.template.spec.hostPID: found hostPID, the processes of the node"),
        ("volumes: [{name: a, hostPath: {path: /var}}]", "volumes[0].hostPath: found the hostPath /var, files of the"),
    ],
)
def test_access_to_the_node_needs_a_disruptive_experiment(tmp_path: Path, field: str, found: str) -> None:
    workload = _deployed(tmp_path, DEPLOYMENT.replace("spec: {containers", f"spec: {{{field}, containers"))
    (problem,) = map(str, workload.beyond_namespace())
    assert found in problem
    assert "expected none, or an experiment with disruptive: true" in problem


def test_host_port_needs_a_disruptive_experiment(tmp_path: Path) -> None:
    port = "image: a.example/web, ports: [{containerPort: 80, hostPort: 80}]"
    workload = _deployed(tmp_path, DEPLOYMENT.replace("image: a.example/web", port))
    assert "hostPort: found the hostPort 80, a port of the node" in next(map(str, workload.beyond_namespace()))


def test_namespace_object_needs_no_disruptive_experiment(tmp_path: Path) -> None:
    workload = _deployed(tmp_path, "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n")
    assert list(workload.beyond_namespace()) == []


def test_twin_cannot_move_an_object_to_another_namespace(tmp_path: Path) -> None:
    moved = EXPERIMENT.replace("{spec: {replicas: 1}}", "{metadata: {namespace: other}, spec: {replicas: 1}}")
    with pytest.raises(InputError, match="a patch cannot change the identity of an object"):
        load_experiment(write_project(tmp_path, moved), Sources.for_root(tmp_path))


def test_generated_name_is_the_same_in_every_run(tmp_path: Path) -> None:
    job = "{apiVersion: batch/v1, kind: Job, metadata: {generateName: load-}, spec: {parallelism: PODS}}\n"
    (name,) = _deployed(tmp_path, job.replace("PODS", "1")).names()
    assert name.startswith("job/load-")
    assert len(name) == len("job/load-") + 5
    assert _deployed(tmp_path, job.replace("PODS", "1")).names() == [name]
    assert _deployed(tmp_path, job.replace("PODS", "2")).names() != [name]


def test_long_generated_name_is_a_dns_label(tmp_path: Path) -> None:
    (name,) = _deployed(tmp_path, f"{{apiVersion: v1, kind: Pod, metadata: {{generateName: {'x' * 80}}}}}\n").names()
    assert len(name.partition("/")[2]) == 63


def _deployed(folder: Path, text: str) -> Workload:
    (folder / "a.yaml").write_text(text.replace("NAMESPACE", "shop"))
    return load_workload(folder)
