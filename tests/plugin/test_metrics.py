"""Experiments on autoscalers whose metrics are missing: what permits them, and that they are never settled."""

from __future__ import annotations

import pytest

from harness.cluster.kube.ownership import Ownership
from harness.model.verdict import Verdict
from tests.plugin.conftest import Project

SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: shop}
  maxReplicas: 3
"""
OUTAGE = "disruptive: true\n%sfaults: [metricsOutage: {of: hpa/shop}]\nobjectives: [told: {}]\n"
SETTLED = "objectives: [replicas: {of: hpa/shop, settlesTo: 3, settlesWithin: 1s}]\n"


@pytest.fixture
def scaled(project: Project) -> Project:
    """A project whose workload has an autoscaler; no controller writes its status."""
    folder = project.root / "experiments/workloads/shop"
    (folder / "autoscaler.yaml").write_text(SCALER)
    return project


def test_outage_needs_permission_in_the_file(scaled: Project) -> None:
    scaled.experiment("blind", OUTAGE % "")
    result = scaled.run("--cluster", "--allow-disruptive", "experiments")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*blind.yaml:8: *expected safety: {metricsApi: allowed} at the top level*"])
    assert not scaled.touched


@pytest.mark.parametrize("foreign", [False, True])
def test_guard_file_of_a_foreign_cluster_must_permit_it(scaled: Project, foreign: bool) -> None:
    """In an owned one the experiment's permission is enough; here its autoscaler never reads any metrics."""
    if foreign:
        scaled.choice.ownership = Ownership.FOREIGN
    # Nothing else of the strict defaults is in the way.
    (scaled.root / "resilience-guard.yaml").write_text("refuseAlerts: null\n")
    scaled.experiment("blind", OUTAGE % "safety: {metricsApi: allowed}\n")
    result = scaled.run("--cluster", "--allow-disruptive", "-rs", "experiments")
    result.assert_outcomes(**({"skipped": 1} if foreign else {"errors": 1}))
    text = result.stdout.str()
    refused = "the guard does not allow an experiment to take metrics away from the cluster's autoscalers"
    assert (refused in text) is foreign
    assert ("hpa/shop has no current metric of CPU or memory" in text) is not foreign


def test_outage_runs_only_where_disruption_is_allowed(scaled: Project) -> None:
    scaled.experiment("blind", OUTAGE % "safety: {metricsApi: allowed}\n")
    scaled.run("--cluster", "experiments").assert_outcomes(skipped=1)


def test_autoscaler_with_unknown_targets_is_never_a_pass(scaled: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Deployment has the wanted size all the time."""
    monkeypatch.setattr("harness.engine.steps.live.NUMBERS_KNOWN", 0.1)
    scaled.experiment("blind", SETTLED)
    scaled.run("--cluster", "experiments").assert_outcomes(errors=1)
    (record,) = scaled.record().experiments
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "hpa/shop" in record.reason
