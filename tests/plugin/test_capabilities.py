"""What a cluster cannot do is skipped with the reason, or fails when asked to; nothing is touched either way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.cluster.kube.ownership import Ownership
from harness.cluster.protocol import Capability
from harness.common.naming import SYSTEM_NAMESPACE
from harness.model.verdict import Verdict
from tests.plugin.conftest import Project

CLAIM = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce]}
"""
SCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: shop}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}}
"""
_QUEUE = "{type: External, external: {metric: {name: jobs}, target: {type: AverageValue, averageValue: '10'}}}"
QUEUE_SCALER = SCALER.replace("maxReplicas: 3", f"maxReplicas: 3, metrics: [{_QUEUE}]")
CUSTOM_SCALER = SCALER.replace("{maxReplicas", "{metrics: [{type: Pods}], maxReplicas")
LOAD = 'load: {rate: 5/s, target: "service/shop:http"}\n'
TOLD = "objectives: [told: {}]\n"
PROMETHEUS = "objectives: [prometheus: {name: members, value: up, min: 1, phases: [baseline]}]\n"


def _no_images(project: Project) -> None:
    project.choice.images = ()


def _lacking(capability: Capability, manifest: str = "") -> Callable[[Project], None]:
    def prepare(project: Project) -> None:
        project.choice.lacks = frozenset({capability})
        if manifest:
            (project.root / "experiments" / "workloads" / "shop" / "more.yaml").write_text(manifest)

    return prepare


CASES = {
    "images": (_no_images, TOLD, "fake has no image podinfo"),
    "volumes": (_lacking(Capability.DYNAMIC_VOLUMES, CLAIM), TOLD, "provision volumes from a default StorageClass"),
    "metrics": (_lacking(Capability.METRICS_SERVER, SCALER), TOLD, "serve metrics.k8s.io"),
    "external metrics": (
        _lacking(Capability.EXTERNAL_METRICS, QUEUE_SCALER),
        TOLD,
        "serve external.metrics.k8s.io",
    ),
    "custom metrics": (_lacking(Capability.CUSTOM_METRICS, CUSTOM_SCALER), TOLD, "serve custom.metrics.k8s.io"),
    "service": (_lacking(Capability.LOAD_BALANCED_SERVICE), LOAD + TOLD, "reach a NodePort Service"),
    "prometheus": (lambda _: None, PROMETHEUS, "no Prometheus found, needed for members"),
}


@pytest.fixture
def without_monitoring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session cannot install what is missing."""
    monkeypatch.setattr("harness.pytest_plugin.monitoring.install", lambda *_: set())


@pytest.mark.usefixtures("without_monitoring")
@pytest.mark.parametrize("strict", [False, True], ids=["skipped", "strict"])
@pytest.mark.parametrize("case", list(CASES))
def test_missing_capability_skips_the_test(project: Project, case: str, strict: bool) -> None:
    prepare, body, reason = CASES[case]
    file = project.experiment("wanting", "phases: {baseline: 4s}\n" + body)
    text = file.read_text()
    file.write_text("\n".join(line for line in text.splitlines() if "50ms" not in line) + "\n")
    prepare(project)
    result = project.run("--cluster", "experiments/wanting.yaml", *(["--cluster-strict"] if strict else []))
    result.assert_outcomes(**({"failed": 1} if strict else {"skipped": 1}))
    assert reason in result.stdout.str()
    cluster = project.choice.cluster
    assert cluster is not None
    own = {f"/api/v1/namespaces/{SYSTEM_NAMESPACE}", "/api/v1/namespaces"}
    writes = [call for call in cluster.server.calls if call.writes and call.namespace != SYSTEM_NAMESPACE]
    assert {call.path for call in writes} <= own
    if strict:
        (record,) = project.record().experiments
        assert record.verdict == Verdict.INCONCLUSIVE
        assert reason in record.reason
    else:
        assert not list((project.root / "reports").glob("*/results.json"))


@pytest.mark.parametrize("strict", [False, True], ids=["skipped", "strict"])
def test_python_test_declares_what_it_requires(project: Project, strict: bool) -> None:
    project.choice.lacks = frozenset({Capability.SCRAPE_LOAD})
    project.pytester.makepyfile(
        """
        import pytest
        from harness.cluster.protocol import Capability

        @pytest.mark.requires(Capability.LOCAL_IMAGES, Capability.SCRAPE_LOAD)
        def test_wanting(cluster): pass

        @pytest.mark.requires(Capability.LOCAL_IMAGES)
        def test_content(cluster): pass
        """
    )
    result = project.run("--cluster", "--strict-markers", *(["--cluster-strict"] if strict else []))
    result.assert_outcomes(passed=1, **({"errors": 1} if strict else {"skipped": 1}))
    assert f"this cluster has no {Capability.SCRAPE_LOAD}" in result.stdout.str()


@pytest.mark.parametrize(("ownership", "installs"), [(Ownership.OWNED, True), (Ownership.FOREIGN, False)])
def test_monitoring_is_installed_in_owned_clusters_only(
    project: Project, monkeypatch: pytest.MonkeyPatch, ownership: Ownership, installs: bool
) -> None:
    """Who tests a cluster that others live in has not asked for anything to be installed there."""
    asked: list[str] = []

    def install(_cluster: object, wanted: list[str], *_: object) -> set[str]:
        asked.extend(wanted)
        return set()

    monkeypatch.setattr("harness.pytest_plugin.monitoring.install", install)
    project.choice.ownership = ownership
    project.choice.lacks = frozenset({Capability.METRICS_SERVER})
    project.experiment("held")
    project.run("--cluster", "experiments/held.yaml")
    assert asked == (["metrics-server", "prometheus"] if installs else [])
