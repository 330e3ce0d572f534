"""Workloads of charts and kustomizations in a whole session, with programs that print what they would render."""

from __future__ import annotations

import pytest

from harness.model.verdict import Verdict
from tests.fake_run import DEPLOYMENT, SERVICE
from tests.plugin.conftest import Project
from tests.unit.experiment.rendering.programs import renders, write

MANIFESTS = f"{DEPLOYMENT}\n---\n{SERVICE}\n"
HOOK = '---\napiVersion: v1\nkind: Pod\nmetadata: {name: smoke, annotations: {"helm.sh/hook": test}}\n'
LEFT_OUT = "not deployed from ../chart: hooks and tests of the chart: pod/smoke (test)"
TESTS = """
from tests.fake_plugin import Told

def test_overlay(experiment):
    experiment.workload({"kustomize": "deploy"})
    experiment.baseline(seconds=0.05)
    experiment.assert_objectives(Told(), recovery=0.1, settle=0.05)
"""


@pytest.fixture
def rendered(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with an experiment on a chart, and a Python test on a kustomization."""
    write(
        project.root, {"deploy/kustomization.yaml": "resources: []", "chart/Chart.yaml": "name: shop\nversion: 1.2.0"}
    )
    renders(project.root / "bin", "kubectl", MANIFESTS)
    renders(project.root / "bin", "helm", MANIFESTS + HOOK)
    monkeypatch.setenv("PATH", f"{project.root / 'bin'}:/usr/bin:/bin")
    file = project.experiment("charted")
    file.write_text(file.read_text().replace("workload: workloads/shop", "workload: {helm: {chart: ../chart}}"))
    project.pytester.makepyfile(test_them=TESTS)
    return project


def test_session_runs_what_was_rendered(rendered: Project) -> None:
    result = rendered.run("--cluster", "experiments", "test_them.py")
    assert result.parseoutcomes()["passed"] == 2
    result.stdout.fnmatch_lines([f"*{LEFT_OUT}"])
    records = {record.name: record for record in rendered.record().experiments}
    assert {record.verdict for record in records.values()} == {Verdict.HELD}
    sources = {record.workload.source: record.workload.tool for record in records.values() if record.workload}
    assert sources["Helm chart ../chart (shop 1.2.0), release charted"].startswith("helm v9.8.7 for Kubernetes 1.")
    assert sources["kustomization deploy"].startswith("kubectl ")
    digests = {record.workload.digest for record in records.values() if record.workload}
    assert len(digests) == 1
    (report,) = (rendered.root / "reports").glob("*/index.html")
    assert "Helm chart ../chart (shop 1.2.0), release charted, rendered by helm v9.8.7" in report.read_text()


def test_session_without_a_cluster_renders_nothing(rendered: Project) -> None:
    """It may be a user's own test run: rendering would build a missing program, or pull a chart."""
    (rendered.root / "bin" / "helm").write_text(f"#!/bin/sh\ntouch {rendered.root}/rendered\n")
    result = rendered.run("experiments", "--twins")
    assert result.parseoutcomes() == {"skipped": 1}
    assert not (rendered.root / "rendered").exists()


def test_plan_shows_the_source_and_the_hooks(rendered: Project) -> None:
    result = rendered.run("--cluster", "--plan", "experiments")
    result.stdout.fnmatch_lines(["*from Helm chart ../chart (shop 1.2.0), release charted, rendered by helm v9.8.7*"])
    result.stdout.fnmatch_lines([f"*{LEFT_OUT}"])


def test_chart_that_does_not_render_is_a_collection_error(rendered: Project) -> None:
    (rendered.root / "bin/helm").write_text("#!/bin/sh\necho 'Error: it is broken' >&2\nexit 1\n")
    result = rendered.run("--cluster", "experiments")
    text = " ".join(result.stdout.str().split())
    assert "charted.yaml:5: workload.helm.chart: the chart ../chart cannot be rendered: it is broken" in text
    assert "INTERNALERROR" not in text
