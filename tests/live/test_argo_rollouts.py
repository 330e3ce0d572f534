"""The template for Argo Rollouts in ``docs/ci``: an experiment in a pod of the cluster decides about a new version."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.resources import NAMESPACES, ROLLOUTS
from harness.cluster.kube.roles import roles_for
from harness.cluster.local.cluster import LocalCluster
from harness.common.clock import SystemClock
from harness.common.naming import RUN_LABEL
from harness.common.waiting import wait_until
from harness.pytest_plugin.operators import install_operators
from harness.schedule.rbac import needed_for_files
from tests.live import short_experiment
from tests.live.own_cluster import own_cluster, silent

# CI's time is used up; about a minute.
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
NAME = "selftest-argo"
ROOT = Path(__file__).resolve().parents[2]
NAMESPACE, ACCOUNT, CONFIG = "shop", "resilience", "resilience-experiments"
GUARD = "resilience-guard.yaml"
CLOCK = SystemClock()
# Seconds. The pod with its image, and the experiment, on a busy machine.
PATIENCE = 300.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with own_cluster(NAME, 1) as made:
        yield made


def _experiment(cluster: LocalCluster, folder: Path, replicas: int) -> tuple[Path, Path]:
    """A short experiment on a Deployment of its own, and its manifests.

    It is BROKEN with one replica, which takes three seconds."""
    body = yaml.safe_load(short_experiment.write(folder, without=("prometheus", "latency"), twins=True).read_text())
    source = (short_experiment.CATALOGUE / "workloads/podinfo/podinfo.yaml").read_text()
    objects = list(yaml.safe_load_all(source.replace("${image:podinfo}", cluster.image("podinfo"))))
    twin = body.pop("twins")[short_experiment.TWIN]
    if replicas == 1:
        spec = next(item for item in objects if item["kind"] == "Deployment")["spec"]
        spec["replicas"] = 1
        spec["template"]["spec"]["containers"][0]["readinessProbe"]["initialDelaySeconds"] = 3
        body["safety"] = twin["safety"]
    file, manifests = folder / "experiment.yaml", folder / "shop/manifests.yaml"
    manifests.parent.mkdir(exist_ok=True)
    manifests.write_text(yaml.safe_dump_all(objects))
    file.write_text(yaml.safe_dump({**body, "workload": "shop"}))
    return file, manifests


def _put(api: KubeApi, *files: Path) -> None:
    data = {file.name: file.read_text() for file in files} | {GUARD: "refuseAlerts: null\n"}
    metadata = {"name": CONFIG, "namespace": NAMESPACE}
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _rollout(cluster: LocalCluster) -> Object:
    """A Rollout with one canary of two pods, about which the template decides."""
    files = short_experiment.CATALOGUE / "workloads/rollout-canary/podinfo.yaml"
    text = files.read_text().replace("${image:podinfo}", cluster.image("podinfo"))
    found: Object = next(item for item in yaml.safe_load_all(text) if item["kind"] == ROLLOUTS.kind)
    found["metadata"]["namespace"] = NAMESPACE
    found["spec"]["replicas"] = 2
    analysis = {"templates": [{"templateName": "resilience"}]}
    found["spec"]["strategy"]["canary"]["steps"] = [{"setWeight": 50}, {"analysis": analysis}]
    return found


def _template(image: str) -> Object:
    """The template as it is published, with this cluster's image of the harness and a guard file.

    Its cluster has no Prometheus, and by default the guard then refuses the run: it cannot check for firing alerts."""
    found: Object = yaml.safe_load((ROOT / "docs/ci/argo-rollouts.yaml").read_text())
    found["metadata"]["namespace"] = NAMESPACE
    (metric,) = found["spec"]["metrics"]
    pod = metric["provider"]["job"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container["image"] = image
    volume = next(each for each in pod["volumes"] if each["name"] == "experiments")
    volume["configMap"]["items"].append({"key": GUARD, "path": GUARD})
    return found


def _roles(file: Path) -> list[Object]:
    """What ``harness rbac`` prints, for an account in the namespace of the Rollout."""
    found = roles_for(needed_for_files([file], "auto", with_residue=False).permissions, ACCOUNT)
    for item in found:
        for subject in item.get("subjects", ()):
            subject["namespace"] = NAMESPACE
        if item["kind"] == "ServiceAccount":
            item["metadata"]["namespace"] = NAMESPACE
    return found


def _await(api: KubeApi, phase: str) -> dict[str, Any]:
    """Wait until the Rollout has this phase for its newest version; return its status."""

    def look() -> tuple[dict[str, Any] | None, str]:
        item = api.get(ROLLOUTS, "podinfo", NAMESPACE)
        status = item.get("status") or {}
        seen = status.get("observedGeneration") == str(item["metadata"]["generation"])
        found = f"{status.get('phase')}: {status.get('message')}"
        return (status if seen and status.get("phase") == phase else None), found

    return wait_until(f"the Rollout to be {phase}", look, PATIENCE, CLOCK, every=1.0)


def _new_version(api: KubeApi, rollout: Object, version: str) -> None:
    rollout["spec"]["template"]["metadata"]["annotations"]["version"] = version
    api.apply(rollout)


def test_experiment_decides_about_a_canary(cluster: LocalCluster, tmp_path: Path) -> None:
    api = cluster.api
    rollout, template = _rollout(cluster), _template(cluster.runner_image(silent))
    install_operators(cluster, [rollout], CLOCK, silent)
    api.apply({"apiVersion": "v1", "kind": NAMESPACES.kind, "metadata": {"name": NAMESPACE}})
    files = _experiment(cluster, tmp_path, replicas=3)
    for item in _roles(files[0]):
        api.apply(item)
    _put(api, *files)
    api.apply(template)
    api.apply(rollout)
    first = _await(api, "Healthy")["stableRS"]

    _new_version(api, rollout, "2")
    second = _await(api, "Healthy")["stableRS"]
    assert second != first, "the experiment HELD, so the new version is the stable one"

    _put(api, *_experiment(cluster, tmp_path, replicas=1))
    _new_version(api, rollout, "3")
    status = _await(api, "Degraded")
    assert status["abort"] is True
    assert status["stableRS"] == second, "the experiment is BROKEN, so the version before stays"
    assert not api.list(NAMESPACES, selector=RUN_LABEL).items
