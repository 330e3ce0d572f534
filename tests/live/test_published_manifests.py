"""A workload as it is published, in two namespaces, with Jobs, a definition and a webhook, on a real cluster.

Needs root on Linux. Uses a local cluster of its own. Run with ``-s`` to see what was measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.permissions import resource_of
from harness.cluster.kube.resources import CONFIG_MAPS, NAMESPACES
from harness.cluster.local.cluster import LocalCluster
from harness.common.naming import RUN_LABEL, SYSTEM_NAMESPACE
from tests.live.own_cluster import own_cluster

# CI's time is used up; about a minute and a half.
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
NAME = os.environ.get("LIVE_CLUSTER", "selftest-published")
ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {name: shop}
hypothesis: Losing one pod of the backend in another namespace is repaired, and users notice nothing.
workload: workloads/shop
disruptive: true
load: {rate: 60/s, target: "service/web:http"}
phases: {baseline: 3s, fault: 3s, recovery: 30s, settle: 2s}
faults:
  - podKill: {selector: app=backend, count: 1}
objectives:
  - availability: {min: 99%}
  - recoveryTime: {of: deployment/backend, max: 20s}
  - replicas: {of: deployment/web, neverBelow: 2}
twins:
  one-web:
    because: a second replica of the web is missing
    patch: {deployment/web: {spec: {replicas: 1}}}
    breaks: [replicas]
"""
# The Job looks up the backend by its published name. The webhook fails closed for every deletion of a coupon: they can
# only be removed after it.
WORKLOAD = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: baseline}}
---
apiVersion: v1
kind: Namespace
metadata: {name: data}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {url: "http://backend.data:9898"}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: backend, namespace: data}
spec: {selector: {app: backend}, ports: [{name: http, port: 9898, targetPort: http}]}
---
apiVersion: batch/v1
kind: Job
metadata: {generateName: migrate-, namespace: shop}
spec:
  backoffLimit: 20
  template:
    spec:
      restartPolicy: OnFailure
      containers:
      - name: migrate
        image: ${image:podinfo}
        command: [sh, -c, nslookup backend.data.svc.cluster.local]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: a, image: "${image:podinfo}", command: [sh, -c, "true"]}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: coupons.example.org}
webhooks:
- name: coupons.example.org
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 1
  rules: [{apiGroups: [example.org], apiVersions: [v1], operations: [DELETE], resources: [coupons]}]
  clientConfig: {service: {name: backend, namespace: data}}
---
apiVersion: example.org/v1
kind: Coupon
metadata: {name: spring, namespace: shop}
spec: {percent: 10}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: coupons.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: coupons, singular: coupon, kind: Coupon}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {percent: {type: integer}}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: shop-viewers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: default, namespace: shop}]
"""
SERVER = """\
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: PLACE}
spec:
  replicas: 2
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 3
      containers:
      - name: podinfo
        image: ${image:podinfo}
        command: [./podinfo, --port=9898]
        ports: [{name: http, containerPort: 9898}]
        readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 1}
"""
CLUSTER_WIDE = [
    resource_of("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    resource_of("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    resource_of("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with own_cluster(NAME, 1) as made:
        yield made


def _run(cluster: LocalCluster, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    workload = folder / "experiments" / "workloads" / "shop"
    workload.mkdir(parents=True)
    servers = "".join(
        SERVER.replace("NAME", name).replace("PLACE", place) for name, place in (("web", "shop"), ("backend", "data"))
    )
    (workload / "shop.yaml").write_text(WORKLOAD + servers)
    (folder / "experiments" / "shop.yaml").write_text(EXPERIMENT)
    (folder / "pytest.ini").write_text("[pytest]\n")
    where = [f"--cluster={cluster.context}", f"--kubeconfig={cluster.kubeconfig}", "--allow-disruptive", "--twins"]
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("RESILIENCE_", "PYTEST"))}
    begun = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *where, "experiments"],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"exit code {ran.returncode} after {time.monotonic() - begun:.1f} s")
    files = sorted(folder.glob("reports/*/results.json"))
    assert files, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr, json.loads(files[-1].read_text())["experiments"]


def _there(cluster: LocalCluster) -> list[str]:
    """The namespaces, cluster-scoped objects and undo journals in the cluster."""
    api = cluster.api
    found = [item for resource in (NAMESPACES, *CLUSTER_WIDE) for item in api.list(resource).items]
    found += api.list(CONFIG_MAPS, SYSTEM_NAMESPACE, RUN_LABEL).items
    return sorted(f"{item['kind']}/{item['metadata']['name']}" for item in found)


def test_two_namespaces_are_deployed_disturbed_and_removed(cluster: LocalCluster, tmp_path: Path) -> None:
    before = _there(cluster)
    text, records = _run(cluster, tmp_path)
    verdicts = [(record["twin"], record["verdict"]) for record in records]
    assert verdicts == [("", "HELD"), ("one-web", "BROKEN")], text
    for record in records:
        main = record["namespace"]
        assert [note.partition(" (")[0] for note in record["notes"] if "→" in note] == [
            f"namespace shop → {main}",
            next(note.partition(" (")[0] for note in record["notes"] if note.startswith("namespace data → ")),
        ]
        (fault,) = record["faults"]
        assert fault["proven"], text
        assert fault["victims"][0]["name"].startswith("backend-")
    assert sorted(set(_there(cluster)) - {f"Namespace/{SYSTEM_NAMESPACE}"}) == before
