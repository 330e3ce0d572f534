"""Helm charts: what helm is called with, what becomes of its output, and what each mistake reads like."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.common.errors import InputError
from harness.experiment.manifests import Workload
from harness.experiment.rendering import charts
from harness.experiment.rendering.charts import default_kube_version, render_chart
from harness.experiment.rendering.programs import Program
from harness.experiment.workload_source import Chart, WorkloadSource
from tests.unit.experiment.rendering.programs import fails, program, project, renders, write

OWN = "apiVersion: v2\nname: shop\nversion: 1.2.0\n"
CHART = {"charts/shop/Chart.yaml": OWN}
OUTPUT = """\
---
# Source: shop/crds/orders.yaml
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: orders.shop.test}
---
# Source: shop/templates/settings.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {text: "--- no separator"}
---
# Source: shop/templates/hooks.yaml
apiVersion: v1
kind: Pod
metadata:
  name: smoke
  annotations: {"helm.sh/hook": test}
---
# Source: shop/templates/hooks.yaml
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations:
    "helm.sh/hook": pre-install,pre-upgrade
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, CHART)
    write(tmp_path, {"charts/shop/templates/settings.yaml": "", "charts/shop/values.yaml": ""})
    renders(tmp_path / "bin", "helm", OUTPUT)
    return tmp_path


def rendered(root: Path, **fields: Any) -> Workload:
    chart = Chart.model_validate({"chart": "../charts/shop", **fields})
    helm = Program("helm", root / "bin/helm", "v9.8.7")
    return render_chart(chart, chart.release or "first", project(root), lambda: helm)


def problems(root: Path, **fields: Any) -> list[str]:
    """What is wrong, with paths below the project's folder."""
    with pytest.raises(InputError) as caught:
        rendered(root, **fields)
    return [str(problem).replace(f"{root}/", "") for problem in caught.value.problems]


def arguments(root: Path) -> list[str]:
    return (root / "bin/helm.args").read_text().splitlines()


def archive(path: Path, files: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as stream:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            stream.addfile(entry, io.BytesIO(text.encode()))


def test_objects_of_a_chart_are_a_workload(root: Path) -> None:
    found = rendered(root)
    assert found.names() == ["customresourcedefinition/orders.shop.test", "configmap/settings"]
    assert str(found.documents[1].file) == f"{root}/charts/shop/templates/settings.yaml"
    assert found.origin.source == "Helm chart ../charts/shop (shop 1.2.0), release first"
    assert found.origin.tool == f"helm v9.8.7 for Kubernetes {default_kube_version()}"


def test_hooks_and_tests_are_left_out_and_named(root: Path) -> None:
    assert rendered(root).note == (
        "not deployed from ../charts/shop: hooks and tests of the chart: pod/smoke (test), "
        "job/migrate (pre-install,pre-upgrade)"
    )


NAMESPACED = """\
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: shop, namespace: first-namespace}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {ports: [{port: 5432}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  database: db.first-namespace.svc.cluster.local
  watched: "first-namespace,first-namespace-other,other"
---
apiVersion: shop.test/v1
kind: Order
metadata: {name: first}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: shop, namespace: first-namespace}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: board-1, namespace: monitoring}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: board-2, namespace: monitoring}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: board-3, namespace: monitoring}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: board-4, namespace: monitoring}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: board-5, namespace: monitoring}
data: {other: db.default.svc}
"""


def test_namespace_of_the_release_is_the_experiments(root: Path) -> None:
    renders(root / "bin", "helm", NAMESPACED)
    made = rendered(root).isolated("rh-first")
    homes = {item["metadata"]["name"]: item["metadata"].get("namespace") for item in made.objects}
    boards = dict.fromkeys(("board-1", "board-2", "board-3", "board-4", "board-5"), "rh-first-monitoring")
    assert homes == {**dict.fromkeys(("shop", "db", "settings", "first")), **boards}
    by_name = {item["metadata"]["name"]: item for item in made.objects}
    assert by_name["board-5"]["data"] == {"other": "db.default.svc"}
    assert by_name["settings"]["data"] == {
        "database": "db.rh-first.svc.cluster.local",
        "watched": "rh-first,first-namespace-other,other",
    }
    assert [item["subjects"][0]["namespace"] for item in made.objects if "subjects" in item] == ["rh-first"]


def test_chart_without_namespaces_stays_without(root: Path) -> None:
    assert [item["metadata"].get("namespace") for item in rendered(root).objects] == [None, None]


def test_twin_keeps_the_source_and_the_note(root: Path) -> None:
    found = rendered(root)
    twin = found.patched({"configmap/settings": {"data": {"text": "other"}}})
    assert (twin.origin, twin.note) == (found.origin, found.note)


def test_problem_names_the_template_and_the_object(root: Path) -> None:
    found = rendered(root)
    problem = found.problem(found.objects[1], ("data", "text"), "is wrong")
    assert str(problem) == f"{root}/charts/shop/templates/settings.yaml: configmap/settings: data.text: is wrong"


def test_helm_is_called_with_what_the_file_declares(root: Path) -> None:
    write(root, {"experiments/small.yaml": "", "deploy/test.yaml": ""})
    rendered(
        root,
        release="shop-test",
        values=["small.yaml", "../deploy/test.yaml"],
        set={"image.tag": "1.20", "replicas": 3, "hosts[0]": "a,b", "resources": {"limits": {"cpu": 1}}, "debug": None},
        kubeVersion="1.29",
        apiVersions=["monitoring.coreos.com/v1"],
    )
    assert arguments(root) == [
        *("template", "shop-test", f"{root}/charts/shop", "--include-crds"),
        *("--namespace", "shop-test-namespace", "--kube-version", "1.29"),
        *("--api-versions", "monitoring.coreos.com/v1"),
        *("--values", f"{root}/experiments/small.yaml", "--values", f"{root}/deploy/test.yaml"),
        *("--set-json", 'image.tag="1.20"', "--set-json", "replicas=3", "--set-json", 'hosts[0]="a,b"'),
        *("--set-json", 'resources={"limits": {"cpu": 1}}', "--set-json", "debug=null"),
    ]


def test_comma_in_the_name_of_a_file_divides_nothing(root: Path) -> None:
    write(root, {"experiments/a,b.yaml": ""})
    rendered(root, values=["a,b.yaml"])
    assert f'"{root}/experiments/a,b.yaml"' in arguments(root)


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({}, ""),
        ({"set": {"a": 1}}, ", with `set`"),
        ({"values": ["a.yaml"]}, ", with a.yaml"),
        ({"values": ["a.yaml", "b.yaml"], "set": {"a": 1}}, ", with a.yaml, b.yaml and `set`"),
    ],
)
def test_source_names_the_values(root: Path, fields: dict[str, Any], given: str) -> None:
    write(root, {"experiments/a.yaml": "", "experiments/b.yaml": ""})
    assert rendered(root, **fields).origin.source == f"Helm chart ../charts/shop (shop 1.2.0), release first{given}"


def test_default_version_of_kubernetes_is_fixed(root: Path) -> None:
    rendered(root)
    found = arguments(root)
    assert found[found.index("--kube-version") + 1] == default_kube_version()


def test_archive_is_rendered_without_unpacking(root: Path) -> None:
    files = {"shop/charts/db/Chart.yaml": "name: db\nversion: 9\n", "shop/Chart.yaml": OWN}
    archive(root / "shop-1.2.0.tgz", files)
    found = rendered(root, chart="../shop-1.2.0.tgz", version="v1.2.0")
    assert arguments(root)[2] == f"{root}/shop-1.2.0.tgz"
    assert str(found.documents[1].file) == f"{root}/shop-1.2.0.tgz/templates/settings.yaml"


PULLS = """\
echo "$@" >> '{root}/bin/calls'
case "$1" in
pull) cp '{root}/packed.tgz' "$4/shop-1.2.0.tgz";;
*) cat '{root}/bin/helm.out';;
esac"""


@pytest.mark.parametrize(
    ("chart", "version", "options"),
    [
        ("oci://registry.test/charts/shop", "1.2.0", "--version 1.2.0"),
        ("oci://127.0.0.1:5000/charts/shop", "1.2.0", "--version 1.2.0 --plain-http"),
        ("oci://localhost/charts/shop", "1.2.0", "--version 1.2.0 --plain-http"),
        ("oci://localhost.test/charts/shop", "1.2.0", "--version 1.2.0"),
        (f"oci://registry.test/charts/shop@sha256:{'a' * 64}", "1.2.0", ""),
    ],
)
def test_chart_of_a_registry_is_pulled_first(root: Path, chart: str, version: str, options: str) -> None:
    archive(root / "packed.tgz", {"shop/Chart.yaml": OWN})
    program(root / "bin", "helm", PULLS.format(root=root))
    found = rendered(root, chart=chart, version=version)
    pull, template = (root / "bin/calls").read_text().splitlines()
    folder = Path(pull.split()[3])
    assert pull == " ".join(filter(None, ["pull", chart, "--destination", str(folder), options]))
    assert template.startswith(f"template first {folder}/shop-1.2.0.tgz ")
    assert not folder.exists()
    assert str(found.documents[1].file) == "shop-1.2.0.tgz/templates/settings.yaml"


def test_registry_that_refuses_is_one_error(root: Path) -> None:
    fails(root / "bin", "helm", "Error: dial tcp 127.0.0.1:1: connect: connection refused\n")
    assert problems(root, chart="oci://127.0.0.1:1/shop", version="1.2.0") == [
        "experiments/shop.yaml: workload.helm.chart: could not pull oci://127.0.0.1:1/shop 1.2.0 with helm v9.8.7: "
        "dial tcp 127.0.0.1:1: connect: connection refused"
    ]


def test_silent_registry_ends_the_pull(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "PULL_TIMEOUT", 0.1)
    program(root / "bin", "helm", "exec sleep 60")
    (found,) = problems(root, chart="oci://registry.test/shop", version="1.2.0")
    assert found.endswith(
        "could not pull oci://registry.test/shop 1.2.0 with helm v9.8.7: helm did not end within 0.1 s"
    )


@pytest.mark.parametrize(
    ("printed", "place", "message"),
    [
        (
            'Error: parse error at (shop/templates/settings.yaml:7): function "quot" not defined\n',
            "charts/shop/templates/settings.yaml:7: ",
            'function "quot" not defined',
        ),
        (
            "Error: execution error at (shop/templates/settings.yaml:1:6): image.tag is required\n",
            "charts/shop/templates/settings.yaml:1: ",
            "image.tag is required",
        ),
        (
            'Error: template: shop/templates/settings.yaml:3:4: executing "shop/templates/settings.yaml" at <include '
            '"x">: error calling include: template: shop/templates/_x.tpl:12:3: nil pointer\n',
            "charts/shop/templates/_x.tpl:12: ",
            "nil pointer",
        ),
        (
            "Error: YAML parse error on shop/templates/settings.yaml: yaml: line 2: no\n",
            "charts/shop/templates/settings.yaml: ",
            "line 2: no",
        ),
        ("Error: values don't meet the specifications\n", "experiments/shop.yaml: workload.helm.chart: ", "don't meet"),
        (
            "Error: chart requires kubeVersion: >=1.99 which is incompatible with Kubernetes v1.36.3\n",
            "experiments/shop.yaml: workload.helm.chart: ",
            "`kubeVersion:` in the experiment selects another version",
        ),
    ],
)
def test_chart_that_does_not_render_names_the_place(root: Path, printed: str, place: str, message: str) -> None:
    write(root, {"experiments/a.yaml": "", "charts/shop/templates/_x.tpl": ""})
    fails(root / "bin", "helm", printed)
    (found,) = problems(root, values=["a.yaml"], set={"b": 1})
    assert found.startswith(f"{place}the chart ../charts/shop cannot be rendered, with a.yaml and `set`: ")
    assert message in found


def test_broken_values_file_is_named_with_its_line(root: Path) -> None:
    write(root, {"experiments/a.yaml": "a: [\n", "experiments/b.yaml": ""})
    fails(root / "bin", "helm", f"Error: failed to parse {root}/experiments/a.yaml: yaml: line 1: did not find\n")
    (found,) = problems(root, values=["b.yaml", "a.yaml"])
    assert found.startswith("experiments/a.yaml:1: the chart ../charts/shop cannot be rendered")
    assert found.endswith("failed to parse a.yaml: yaml: line 1: did not find")


def test_missing_dependency_names_the_command(root: Path) -> None:
    message = (
        "You may need to run `helm dependency build`: found in Chart.yaml, but missing in charts/ directory: db, x"
    )
    fails(root / "bin", "helm", f"Error: An error occurred while checking for chart dependencies. {message}\n")
    assert problems(root) == [
        "charts/shop/Chart.yaml: found dependencies that are missing in charts/: db, x; run `helm dependency build "
        "../charts/shop` first, since rendering uses no network"
    ]


FIELD = "experiments/shop.yaml: workload.helm"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"chart": "../charts/shp"}, [f"{FIELD}.chart: found '../charts/shp', which does not exist; expected a"]),
        ({"chart": "https://x.test/shop.tgz"}, [f"{FIELD}.chart: found 'https://x.test/shop.tgz', expected a folder"]),
        ({"chart": "../../other"}, [f"{FIELD}.chart: found '../../other', which is "]),
        ({"chart": "../charts"}, [f"{FIELD}.chart: charts has no Chart.yaml; expected a Helm chart"]),
        ({"chart": "a.yaml"}, [f"{FIELD}.chart: experiments/a.yaml is not the archive of a chart (not a gzip file)"]),
        ({"chart": "../empty.tgz"}, [f"{FIELD}.chart: empty.tgz has no Chart.yaml"]),
        ({"chart": "../charts/nameless"}, ["charts/nameless/Chart.yaml: has no name or no version"]),
        ({"chart": "../charts/library"}, [f"{FIELD}.chart: found '../charts/library', a library chart"]),
        ({"version": "1.3.0"}, [f"{FIELD}.version: found '1.3.0', but the chart in ../charts/shop has the"]),
        ({"values": [".."]}, [f"{FIELD}.values[0]: found '..', which is a folder; expected a values file"]),
        (
            {"values": ["a.yaml", "b.yaml", "../../outside.yaml"], "chart": "none"},
            [
                f"{FIELD}.values[1]: found 'b.yaml', which does not exist; expected a values file",
                f"{FIELD}.values[2]: found '../../outside.yaml', which is ",
                f"{FIELD}.chart: found 'none', which does not exist",
            ],
        ),
        ({"chart": "x" * 5000}, [f"{FIELD}.chart: found 'xxx"]),
    ],
)  # fmt: skip
def test_mistakes_are_reported_before_helm_runs(
    tmp_path: Path, fields: dict[str, Any], expected: Sequence[str]
) -> None:
    root = tmp_path / "project"
    write(root, CHART)
    write(
        root,
        {
            "experiments/a.yaml": "a: 1",
            "../other/Chart.yaml": "name: other\nversion: 1\n",
            "../outside.yaml": "",
            "charts/nameless/Chart.yaml": "version: 1\n",
            "charts/library/Chart.yaml": "name: library\nversion: 1\ntype: library\n",
        },
    )
    archive(root / "empty.tgz", {"README": ""})
    renders(root / "bin", "helm", OUTPUT)
    found = problems(root, **fields)
    assert [text[: len(start)] for text, start in zip(found, expected, strict=True)] == expected
    assert not (root / "bin/helm.args").exists()


def test_pipe_is_not_read(root: Path) -> None:
    os.mkfifo(root / "pipe.tgz")
    (found,) = problems(root, chart="../pipe.tgz")
    assert "pipe.tgz is not the archive of a chart (not a regular file)" in found


def test_archive_that_unpacks_to_too_much_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "_MAX_UNPACKED", 10_000)
    archive(root / "large.tgz", {"shop/values.yaml": "a" * 20_000, "shop/Chart.yaml": OWN})
    (found,) = problems(root, chart="../large.tgz")
    assert "(larger than 10000 bytes when unpacked)" in found


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_damaged_archive_is_one_error(root: Path, cut: int) -> None:
    archive(root / "whole.tgz", {"shop/Chart.yaml": OWN})
    content = (root / "whole.tgz").read_bytes()
    (root / "cut.tgz").write_bytes(content[:cut])
    (found,) = problems(root, chart="../cut.tgz")
    assert found.startswith("experiments/shop.yaml: workload.helm.chart: cut.tgz is not the archive of a chart (")


def test_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "project"
    write(root, {"../other/Chart.yaml": "name: other\nversion: 1\n", "charts/x": ""})
    (root / "charts/linked").symlink_to(tmp_path / "other")
    (found,) = problems(root, chart="../charts/linked")
    assert f"outside of the project; expected a path inside {root.name}" in found.replace(f"{tmp_path}/", "")
    assert "the nearest folder upwards with .git, else with pytest's configuration" in found


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "renders no object"),
        (
            OUTPUT[OUTPUT.index("---\n# Source: shop/templates/hooks") :],
            "renders only hooks: pod/smoke (test), job/mig",
        ),
    ],
)
def test_chart_without_objects_is_refused(root: Path, output: str, message: str) -> None:
    renders(root / "bin", "helm", output)
    (found,) = problems(root)
    assert found.startswith("experiments/shop.yaml: workload.helm.chart: found a chart that ")
    assert message in found


def test_rendered_text_that_is_wrong_names_its_template(root: Path) -> None:
    renders(root / "bin", "helm", "---\n# Source: shop/templates/settings.yaml\nkind: A\nkind: B\n---\n- 1\n")
    assert problems(root) == [
        "charts/shop/templates/settings.yaml: kind: duplicate key, first given in line 3 (line 4 of the "
        "rendered object)"
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"chart": "oci://registry.test/shop"}, "without a version, expected `version`, or @sha256"),
        ({"chart": "x", "set": {"a=b": 1}}, "expected the path of one value"),
        ({"chart": "x", "set": {"a,b": 1}}, "expected the path of one value"),
        ({"chart": "x", "set": {'{"a"': 1}}, "expected the path of one value"),
        ({"chart": "x", "kubeVersion": "newest"}, "kubeVersion"),
        ({"chart": "x", "hooks": True}, "hooks"),
        ({"version": "1"}, "chart"),
    ],
)
def test_wrong_declaration_of_a_chart_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WorkloadSource.model_validate({"helm": fields})


@pytest.mark.parametrize("key", ["helm", "kustomize", "copyOf", "existing"])
def test_source_without_a_value_is_refused(key: str) -> None:
    with pytest.raises(
        ValidationError, match=f"found {key} without a value, expected a folder of manifests, or one of"
    ):
        WorkloadSource.model_validate({key: None})


def test_escaped_separators_are_part_of_a_path() -> None:
    assert Chart.model_validate({"chart": "x", "set": {r"annotations.a\,b\=c": "1"}}).set
