"""Experiments whose workload is rendered: everything that works for a folder of manifests works for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.experiment.declaration import Experiment
from harness.experiment.loading import load_experiment
from harness.experiment.rendering import programs
from harness.experiment.sources import Sources
from tests.fake_run import DEPLOYMENT, EXPERIMENT, SERVICE, write_project
from tests.unit.experiment.rendering.programs import renders, write

KUSTOMIZED = EXPERIMENT.replace("workload: workloads/shop", "workload: {kustomize: ../deploy}")
CHARTED = EXPERIMENT.replace("workload: workloads/shop", "workload: {helm: {chart: ../chart}}")
MANIFESTS = f"{DEPLOYMENT}\n---\n{SERVICE}\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path, {"deploy/kustomization.yaml": "resources: []", "chart/Chart.yaml": "name: shop\nversion: 1.2.0\n"})
    folder = tmp_path / "bin"
    renders(folder, "kubectl", MANIFESTS)
    renders(folder, "helm", MANIFESTS)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return tmp_path


def load(root: Path, text: str) -> Experiment:
    return load_experiment(write_project(root, text), Sources.for_root(root))


def problems(root: Path, text: str) -> list[str]:
    """What is wrong, with paths below the project's folder."""
    with pytest.raises(InputError) as caught:
        load(root, text)
    return [str(problem).replace(f"{root}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize("text", [KUSTOMIZED, CHARTED], ids=["kustomize", "helm"])
def test_rendered_workload_equals_its_folder(root: Path, text: str) -> None:
    found, plain = load(root, text), load(root, EXPERIMENT)
    assert found.workload.objects == plain.workload.objects
    assert found.as_twin("one-replica").workload.objects == plain.as_twin("one-replica").workload.objects
    assert found.workload.images() == plain.workload.images() != set()


def test_release_is_named_after_the_experiment(root: Path) -> None:
    load(root, CHARTED)
    assert (root / "bin/helm.args").read_text().splitlines()[:2] == ["template", "one-killed"]


@pytest.mark.parametrize(
    ("text", "place"),
    [(KUSTOMIZED, "deploy: deployment/shop: "), (CHARTED, "chart: deployment/shop: ")],
    ids=["kustomize", "helm"],
)
def test_rendered_objects_are_checked(root: Path, text: str, place: str) -> None:
    for name in ("kubectl", "helm"):
        renders(root / "bin", name, MANIFESTS.replace("replicas: 3", "replica: 3"))
    assert problems(root, text) == [f"{place}spec.replica: unknown field of DeploymentSpec; did you mean replicas?"]


def test_other_mistakes_are_reported_with_a_chart(root: Path) -> None:
    text = CHARTED.replace("../chart", "../chrt").replace("podKill:", "podKil:")
    kind, chart = problems(root, text)
    assert "faults[0].podKil: unknown kind" in kind
    assert chart.startswith("experiments/one-killed.yaml:5: workload.helm.chart: found '../chrt'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (KUSTOMIZED, "5: workload.kustomize: found no kubectl or kustomize on the PATH; install kubectl"),
        (CHARTED, "5: workload.helm: found no helm on the PATH; install helm"),
    ],
    ids=["kustomize", "helm"],
)
def test_missing_program_is_a_problem_of_the_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr(programs.shutil, "which", lambda _: None)
    monkeypatch.setattr(programs, "built", lambda _name, _progress: None)
    assert problems(root, text) == [f"experiments/one-killed.yaml:{message}"]


def test_program_is_built_with_the_sessions_progress(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def build(name: str, progress: programs.Progress) -> Path:
        progress(f"building {name}")
        return root / "bin" / name

    monkeypatch.setattr(programs.shutil, "which", lambda _: None)
    monkeypatch.setattr(programs, "built", build)
    file = write_project(root, CHARTED)
    load_experiment(file, replace(Sources.for_root(root), progress=shown.append))
    assert shown == ["building helm"]


def test_chart_with_a_cluster_wide_object_is_refused(root: Path) -> None:
    role = "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: shop}\nrules: []\n"
    renders(root / "bin", "helm", f"{MANIFESTS}{role}")
    (found,) = problems(root, CHARTED)
    assert found.startswith("chart: clusterrole/shop: kind: found clusterrole/shop, which is cluster-scoped")
    assert load(root, f"{CHARTED}disruptive: true\n").workload.find("clusterrole/shop")
