"""Kustomizations and charts, rendered by the real kubectl and helm, where they are installed or built."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.local.paths import cache_root
from harness.common.errors import InputError
from harness.experiment.loading import load_experiment
from harness.experiment.manifests import Workload
from harness.experiment.rendering.places import Places
from harness.experiment.rendering.rendered import workload_from
from harness.experiment.sources import Sources
from harness.experiment.workload_source import WorkloadSource
from tests.unit.experiment.rendering.programs import project, write

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/applications"
OWN = "apiVersion: v2\nname: shop\nversion: 1.2.0\n"
CHART = {
    "charts/shop/Chart.yaml": OWN,
    "charts/shop/values.yaml": "image: {tag: latest}\nlabels: {}\n",
    "charts/shop/templates/settings.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
  labels: {{- toYaml .Values.labels | nindent 4 }}
data:
  tag: {{ .Values.image.tag | quote }}
  kind: {{ kindOf .Values.image.tag }}
  kubernetes: {{ .Capabilities.KubeVersion.Version | quote }}
  monitored: {{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" | quote }}
  found: {{ lookup "v1" "Secret" "kube-system" "" | len | quote }}
""",
}


def needs(name: str, folder: Path) -> None:
    """Link a program into a folder. Skips the test if it is neither on the PATH nor in the cache; builds nothing."""
    found = shutil.which(name) or next(iter((cache_root() / "bin").glob(f"*/{name}")), None)
    if found is None:
        pytest.skip(f"no {name} on the PATH or in the cache")
    folder.mkdir(exist_ok=True)
    (folder / name).symlink_to(found)


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a chart, and helm on the PATH."""
    needs("helm", tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    root = tmp_path / "project"
    write(root, CHART)
    return root


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, and kubectl on the PATH."""
    needs("kubectl", tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "project"


def rendered(places: Places, source: dict[str, Any]) -> Workload:
    return workload_from(WorkloadSource.model_validate(source), "first", places)


def problems(root: Path, source: dict[str, Any]) -> str:
    """What is wrong, with paths below the project's folder."""
    with pytest.raises(InputError) as caught:
        rendered(project(root), source)
    return str(caught.value).replace(f"{root}/", "")


def test_example_of_a_chart_renders(helm: Path) -> None:
    del helm
    found = load_experiment(EXAMPLES / "experiments/chart-survives-a-pod.yaml", Sources.for_root(EXAMPLES))
    assert found.workload.names() == ["service/shop-podinfo", "deployment/shop-podinfo"]
    assert "pod/shop-podinfo-test (test)" in found.workload.note


def test_example_of_a_kustomization_renders(kubectl: Path) -> None:
    del kubectl
    found = load_experiment(EXAMPLES / "experiments/overlay-survives-a-pod.yaml", Sources.for_root(EXAMPLES))
    assert {name for name in found.workload.names() if "configmap" not in name} == {
        "service/test-podinfo",
        "deployment/test-podinfo",
    }
    deployment = found.workload.find("deployment/test-podinfo")
    assert deployment is not None
    place = ("spec", "template", "spec", "containers", 0, "command")
    problem = found.workload.problem(deployment, place, "is wrong")
    assert (problem.file, problem.line) == (EXAMPLES / "deploy/base/podinfo.yaml", 16)


def test_values_keep_their_types(helm: Path) -> None:
    chart = {"chart": "../charts/shop", "set": {"image.tag": "1.20", r"labels.a\.b/c": "x,y=z"}}
    data = rendered(project(helm), {"helm": chart}).objects[0]
    assert (data["data"]["tag"], data["data"]["kind"]) == ("1.20", "string")
    assert data["metadata"]["labels"] == {"a.b/c": "x,y=z"}
    chart["set"] = {"image.tag": 3}
    assert rendered(project(helm), {"helm": chart}).objects[0]["data"]["kind"] == "float64"


def test_chart_is_rendered_without_a_cluster(helm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
    chart = {"chart": "../charts/shop", "kubeVersion": "1.29", "apiVersions": ["monitoring.coreos.com/v1"]}
    data = rendered(project(helm), {"helm": chart}).objects[0]["data"]
    assert (data["kubernetes"], data["monitored"], data["found"]) == ("v1.29", "true", "0")


@pytest.mark.parametrize(
    ("files", "start", "message"),
    [
        (
            {"charts/shop/templates/bad.yaml": "a: 1\nb: {{ .Values.x | quot }}\n"},
            "charts/shop/templates/bad.yaml:2: ",
            'function "quot" not defined',
        ),
        (
            {"charts/shop/templates/bad.yaml": '{{ required "x is needed" .Values.x }}\n'},
            "charts/shop/templates/bad.yaml:1: ",
            "x is needed",
        ),
        (
            {
                "charts/shop/templates/_bad.tpl": '{{ define "bad" }}\n{{ .Values.x.y.z }}{{ end }}\n',
                "charts/shop/templates/bad.yaml": 'a: {{ include "bad" . }}\n',
            },
            "charts/shop/templates/_bad.tpl:2: ",
            "nil pointer",
        ),
        ({"charts/shop/templates/bad.yaml": "a: b\n c: d\n"}, "charts/shop/templates/bad.yaml: ", "YAML parse error"),
        ({"experiments/a.yaml": "a: [\n"}, "experiments/a.yaml:1: ", "failed to parse a.yaml"),
        (
            {"charts/shop/Chart.yaml": f"{OWN}dependencies: [{{name: db, version: 1.0.0}}]\n"},
            "charts/shop/Chart.yaml: ",
            "missing in charts/: db; run `helm dependency build ../charts/shop` first",
        ),
        ({"charts/shop/templates/bad.yaml": "a: 1\n"}, "charts/shop/templates/bad.yaml: ", "kind: missing"),
        ({"charts/shop/values.schema.json": '{"required": ["x"]}'}, "experiments/shop.yaml: ", "missing prop"),
    ],
)  # fmt: skip
def test_error_of_helm_is_placed(helm: Path, files: dict[str, str], start: str, message: str) -> None:
    write(helm, {"experiments/a.yaml": "", **files})
    found = problems(helm, {"helm": {"chart": "../charts/shop", "values": ["a.yaml"]}})
    assert found.startswith(start), found
    assert message in found


def test_error_of_a_registry_is_shown(helm: Path) -> None:
    # Port 9 of this machine: nothing listens there.
    found = problems(helm, {"helm": {"chart": "oci://127.0.0.1:9/shop", "version": "1.2.0"}})
    assert found.startswith("experiments/shop.yaml: workload.helm.chart: could not pull oci://127.0.0.1:9/shop 1.2.0")
    assert "refused" in found


def test_error_of_kustomize_is_shown(kubectl: Path) -> None:
    write(kubectl, {"deploy/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n"})
    write(kubectl, {"deploy/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"})
    write(kubectl, {"deploy/p.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"})
    found = problems(kubectl, {"kustomize": "../deploy"})
    assert found.startswith("experiments/shop.yaml: workload.kustomize: the kustomization ../deploy cannot be rendered")
    assert "no resource matches strategic merge patch" in found


def test_annotations_of_origins_are_not_deployed(kubectl: Path) -> None:
    write(kubectl, {"deploy/kustomization.yaml": "resources: [a.yaml]\n"})
    write(kubectl, {"deploy/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {b: c}\n"})
    found = rendered(project(kubectl), {"kustomize": "../deploy"})
    assert found.objects == ({"apiVersion": "v1", "data": {"b": "c"}, "kind": "ConfigMap", "metadata": {"name": "a"}},)
    assert str(found.documents[0].file) == f"{kubectl}/deploy/a.yaml"
