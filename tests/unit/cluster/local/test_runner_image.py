"""The runner image: what is in it, when it is made again, and a Python that cannot be put into one."""

from __future__ import annotations

import json
import re
import tarfile
import tomllib
from pathlib import Path

import pytest

from harness.cluster.kube.client import Object
from harness.cluster.local import runner_image
from harness.cluster.local.images import ImageSet
from harness.cluster.local.paths import CACHE_VARIABLE
from harness.common.errors import CapabilityMissing
from harness.engine.steps import load_pods

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Instead of the real interpreter, which takes seconds to stage; its calls are returned."""
    calls: list[Path] = []

    def stage(folder: Path) -> None:
        calls.append(folder)
        (folder / "opt/runner/bin").mkdir(parents=True)
        (folder / "opt/runner/bin/python").write_text("python")
        (folder / "opt/runner/bin/python").chmod(0o700)

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(runner_image, "_stage_python", stage)
    return calls


def layers(root: Path) -> list[tarfile.TarFile]:
    images = ImageSet(root)
    manifest = json.loads(images.blob(images.manifests()["runner"]))
    return [tarfile.open(root / "sha256" / layer["digest"].removeprefix("sha256:")) for layer in manifest["layers"]]


def config(root: Path) -> Object:
    images = ImageSet(root)
    manifest = json.loads(images.blob(images.manifests()["runner"]))
    digest = manifest["config"]["digest"].removeprefix("sha256:")
    found: Object = json.loads((root / "sha256" / digest).read_bytes())["config"]
    return found


def test_image_runs_the_harness_without_root(staged: list[Path]) -> None:
    root = runner_image.ensure(lambda _: None)
    assert config(root)["Entrypoint"] == ["/opt/runner/bin/python", "-m", "harness.cli"]
    assert config(root)["User"] == f"{load_pods.USER}:{load_pods.USER}"
    interpreter, own = layers(root)
    assert interpreter.getmember("opt/runner/bin/python").mode == 0o755
    assert interpreter.getmember("work").mode == 0o1777
    names = [name for name in own.getnames() if name.endswith("remote/agent.py")]
    assert len(names) == 1
    assert any(re.search(r"remote/__pycache__/agent\..*\.pyc$", name) for name in own.getnames())
    found = own.getnames()
    assert any(name.endswith("harness/builtin/experiments/self_healing/one-pod-killed.yaml") for name in found)
    points = own.extractfile(next(name for name in found if name.endswith("dist-info/entry_points.txt")))
    assert points is not None
    assert b"[pytest11]" in points.read()
    assert not any(
        name.startswith("opt/runner/lib/python") and "/site-packages/harness" not in name and "dist-info" not in name
        for name in found
    )
    assert ImageSet(root).reference("runner") == runner_image.reference(root)
    assert len(staged) == 1


def test_change_of_the_harness_makes_only_its_own_layer(staged: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = runner_image.ensure(lambda _: None)
    assert runner_image.ensure(lambda _: None) == first
    monkeypatch.setattr(runner_image, "CATALOGUE", ("loadprofiles",))
    second = runner_image.ensure(lambda _: None)
    assert second != first
    assert len(staged) == 1
    monkeypatch.setattr(runner_image, "FORMAT", "another")
    assert runner_image.ensure(lambda _: None) != second
    assert len(staged) == 2


def test_dependencies_of_the_harness_are_in_the_image() -> None:
    names = {one.metadata["Name"].lower() for one in runner_image.distributions()}
    assert names >= {"locust", "gevent", "greenlet", "pydantic", "pydantic_core", "orjson", "pyyaml", "pytest"}
    assert not names & {"mypy", "ruff", "hypothesis"}


def test_roots_are_the_dependencies_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(text for name in extras if name != "dev" for text in extras[name])]
    assert sorted(re.split("[<>=]", text)[0] for text in wanted) == sorted(runner_image.ROOTS)


def test_static_python_needs_an_image_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_image, "_ldd", lambda _program: "\tnot a dynamic executable\n")
    with pytest.raises(CapabilityMissing, match="set --runner-image"):
        runner_image._loader()


def test_containerfile_has_the_same_user_and_program() -> None:
    text = (REPOSITORY / "harness/cluster/runner/Containerfile").read_text()
    assert f"USER {load_pods.USER}:{load_pods.USER}" in text
    assert 'ENTRYPOINT ["python", "-m", "harness.cli"]' in text
