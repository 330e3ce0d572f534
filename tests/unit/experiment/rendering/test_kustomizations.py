"""Kustomizations: what may be part of one, which file an object is from, and what each mistake reads like."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.experiment.manifests import Workload
from harness.experiment.rendering.kustomizations import render_kustomization
from harness.experiment.rendering.programs import Program
from tests.unit.experiment.rendering.programs import fails, program, project, renders, write

SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  labels: {app: shop}
data:
  color: blue
  items: "3"
"""
FILES = {
    "base/kustomization.yaml": "resources: [settings.yaml]\n",
    "base/settings.yaml": f"# The base.\n{SETTINGS}",
    "overlays/test/kustomization.yaml": "resources: [../../base]\nnamePrefix: test-\n",
}
RENDERED = SETTINGS.replace("name: settings", "name: test-settings").replace('"3"', '"5"')
# The second run renders a kustomization above this one, with the file of each object relative to it.
KUBECTL = """\
#!{python}
import pathlib, sys
root, folder = pathlib.Path({root!r}), pathlib.Path(sys.argv[2])
text = (root / "bin/rendered").read_text()
if folder == root / "overlays/test":
    (root / "bin/args").write_text(" ".join(sys.argv[1:]))
elif (root / "bin/without-origin").exists():
    sys.exit(1)
else:
    above = (folder / "kustomization.yaml").read_text()
    base = above[above.index("../") : above.index("/overlays/test")] + "/base"
    origin = f"metadata:\\n  annotations:\\n    config.kubernetes.io/origin: |\\n      path: {{base}}/settings.yaml\\n"
    text = text.replace("metadata:\\n", origin)
print(text)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    write(root, FILES)
    write(root, {"bin/rendered": RENDERED, "bin/kubectl": KUBECTL.format(python=sys.executable, root=str(root))})
    (root / "bin/kubectl").chmod(0o755)
    return root


def rendered(root: Path, name: str = "../overlays/test", by: str = "kubectl") -> Workload:
    program = Program(by, root / "bin" / by, "v9.8.7")
    return render_kustomization(name, project(root), lambda: program)


def problems(root: Path, name: str = "../overlays/test") -> list[str]:
    """What is wrong, with paths below the project's folder."""
    with pytest.raises(InputError) as caught:
        rendered(root, name)
    return [str(problem).replace(f"{root}/", "") for problem in caught.value.problems]


def test_objects_of_a_kustomization_are_a_workload(root: Path) -> None:
    found = rendered(root)
    assert found.names() == ["configmap/test-settings"]
    assert (found.origin.source, found.origin.tool) == ("kustomization ../overlays/test", "kubectl v9.8.7")
    assert (root / "bin/args").read_text() == f"kustomize {root}/overlays/test"
    assert "annotations" not in found.objects[0]["metadata"]


def test_kustomize_itself_renders_with_build(root: Path) -> None:
    renders(root / "bin", "kustomize", RENDERED)
    rendered(root, by="kustomize")
    assert (root / "bin/kustomize.args").read_text().splitlines()[0] == "build"


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("data", "color"), ":8"),
        (("metadata", "labels", "app"), ":6"),
        # Changed by the overlay: the nearest field that is the base's.
        (("data", "items"), ":7"),
        (("metadata", "name"), ":4"),
    ],
)
def test_problem_names_the_line_of_the_base(root: Path, place: tuple[str, ...], line: str) -> None:
    found = rendered(root)
    shown = str(found.problem(found.objects[0], place, "is wrong")).replace(f"{root}/", "")
    assert shown == f"base/settings.yaml{line}: configmap/test-settings: {'.'.join(place)}: is wrong"


def test_without_origins_the_folder_is_named(root: Path) -> None:
    (root / "bin/without-origin").touch()
    found = rendered(root)
    shown = str(found.problem(found.objects[0], ("data", "color"), "is wrong")).replace(f"{root}/", "")
    assert shown == "overlays/test: configmap/test-settings: data.color: is wrong"


def test_failure_has_the_programs_message(root: Path) -> None:
    fails(root / "bin", "kubectl", "error: no resource matches strategic merge patch\n")
    assert problems(root) == [
        "experiments/shop.yaml: workload.kustomize: the kustomization ../overlays/test cannot be rendered with "
        "kubectl: no resource matches strategic merge patch"
    ]


def test_kustomization_without_objects_is_refused(root: Path) -> None:
    (root / "bin/rendered").write_text("")
    (found,) = problems(root)
    assert "renders no object" in found


OVERLAY = "overlays/test/kustomization.yaml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resources:\n- ../../base\n- https://x.test/a.yaml\n", [f"{OVERLAY}:3: resources[1]: found 'https://x.test/a."]),
        ("bases: ['github.com/a/b//c?ref=1']\n", [f"{OVERLAY}:1: bases[0]: found 'github.com/a/b//c?ref=1', exp"]),
        ("components: ['git@x.test:a/b']\n", [f"{OVERLAY}:1: components[0]: found 'git@x.test:a/b', expected a file"]),
        ("resources: [../../../outside]\n", [f"{OVERLAY}:1: resources[0]: found '../../../outside', which is "]),
        ("resources: [../../bin]\n", [f"{OVERLAY}:1: resources[0]: found '../../bin'; expected a folder with a kust"]),
        ("resources: [../broken]\n", ["overlays/broken/kustomization.yaml:2: not valid YAML: "]),
        ("resources: [{a: 1}, 3]\nbases: x\n", []),
        ("resources: ['" + "x" * 5000 + "']\n", [f"{OVERLAY}:1: resources[0]: found 'xxx"]),
        ("a: 1\na: 2\n", [f"{OVERLAY}:2: a: duplicate key"]),
    ],
)  # fmt: skip
def test_only_folders_of_the_project_are_parts(root: Path, text: str, expected: list[str]) -> None:
    write(
        root,
        {
            OVERLAY: text,
            "../outside/kustomization.yaml": "resources: []\n",
            "overlays/broken/kustomization.yaml": "a: [\n",
        },
    )
    if not expected:
        assert rendered(root)
        return
    found = problems(root)
    assert [text[: len(start)] for text, start in zip(found, expected, strict=True)] == expected
    assert not (root / "bin/args").exists()


def test_kustomizations_may_refer_to_each_other(root: Path) -> None:
    """A cycle ends: kustomize itself reports it."""
    write(root, {"base/kustomization.yaml": "resources: [../overlays/test]\n"})
    assert rendered(root)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../overlays/tst", "found '../overlays/tst', which does not exist; expected the folder of a kustomization"),
        ("../overlays", "found '../overlays'; expected a folder with a kustomization.yaml"),
        ("../base/settings.yaml", "found '../base/settings.yaml'; expected a folder with a kustomization.yaml"),
        ("../../outside", "outside of the project"),
        ("loop", "found 'loop', which does not exist"),
        (
            "../../outside",
            "(the project is the nearest folder upwards with .git, else with pytest's configuration, else",
        ),
    ],
)
def test_other_folders_are_refused(root: Path, name: str, message: str) -> None:
    write(root, {"../outside/kustomization.yaml": "resources: []\n"})
    (root / "experiments").mkdir(exist_ok=True)
    (root / "experiments/loop").symlink_to("loop")
    program(root / "bin", "kubectl", "exit 9")
    (found,) = problems(root, name)
    assert found.startswith("experiments/shop.yaml: workload.kustomize: ")
    assert message in found
