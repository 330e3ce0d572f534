"""Images before a deployment: all that nobody has in one error, the pull policies, and what is brought."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.images import ImageSource
from harness.cluster.local.paths import CACHE_VARIABLE
from harness.common.errors import InputError
from harness.engine.plan.plan import plan
from harness.engine.plan.text import render
from harness.engine.preflight.images import Images
from harness.engine.preflight.known_images import known_here
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.experiment.workload_checks.container_images import NamedImage, named_images
from harness.faults.bad_rollout import BadRollout
from harness.faults.pod_kill import PodKill
from tests.fake_run import DEPLOYMENT, EXPERIMENT, Stage, write_project
from tests.unit.cluster.local.supply.image_archives import docker_archive, silent
from tests.unit.cluster.local.supply.programs import Runtime, held

TWO = DEPLOYMENT.replace(
    '- {name: shop, image: "${image:podinfo}"}',
    '- {name: shop, image: "shop/web:1"}\n        - {name: side, image: "shop/side:latest"}\n      initContainers:\n'
    '        - {name: init, image: "shop/init:1", imagePullPolicy: Never}',
)


def stage_with(root: Path, manifest: str, experiment: str = EXPERIMENT) -> tuple[Stage, Any]:
    stage, file = Stage(root), write_project(root, experiment)
    (file.parent / "workloads/shop/deployment.yaml").write_text(manifest)
    return stage, load_experiment(file, Sources.for_root(root))


def test_all_unavailable_images_are_one_error(tmp_path: Path) -> None:
    stage, experiment = stage_with(tmp_path, TWO)
    stage.cluster.unreachable = {"shop/web:1": "docker does not have it", "shop/init:1": "no registry has it"}
    with pytest.raises(InputError) as caught:
        stage.play(experiment)
    first, second, ways = caught.value.problems
    assert first.file is not None
    assert first.file.suffix == ".yaml"
    assert first.line is not None
    assert first.field == "spec.template.spec.containers[0].image"
    assert first.message == "found shop/web:1, which is not available: docker does not have it"
    assert second.field == "spec.template.spec.initContainers[0].image"
    assert "--load-image FILE" in ways.message
    assert "Docker, Podman or nerdctl" in ways.message
    assert "registry that can be reached" in ways.message
    assert not [call for call in stage.cluster.server.calls if call.writes]


def test_images_of_faults_may_be_missing(tmp_path: Path) -> None:
    stage, experiment = stage_with(tmp_path, TWO)
    stage.cluster.unreachable = {"does-not:exist": "no registry has it"}
    patch = {"spec": {"containers": [{"name": "shop", "image": "shop/web:2"}]}}
    faults = (
        BadRollout.model_validate({"of": "deployment/shop", "image": "does-not:exist", "container": "shop"}),
        BadRollout.model_validate({"of": "deployment/shop", "patch": patch}),
    )
    images = Images.of(stage.cluster, replace(experiment, faults=faults))
    images.require()
    assert "does-not:exist: not available, as the fault may intend (no registry has it)" in images.lines()
    images.bring(silent)
    assert sorted(stage.cluster.brought) == ["shop/init:1", "shop/side:latest", "shop/web:1", "shop/web:2"]


def test_plan_shows_the_source_of_each_image(tmp_path: Path) -> None:
    stage, experiment = stage_with(tmp_path, TWO)
    stage.cluster.unreachable = {"shop/web:1": "docker does not have it"}
    text = render(plan(stage.run(), experiment))
    assert "  image shop/side:latest: pulled by the nodes\n" in text
    assert "  this experiment would not run:\n" in text
    assert "found shop/web:1, which is not available: docker does not have it" in text


@pytest.mark.parametrize(("given", "shown"), [("0s", "0 s"), ("90s", "90 s"), ("3m", "3 min")])
def test_plan_shows_durations_with_their_unit(tmp_path: Path, given: str, shown: str) -> None:
    stage, experiment = stage_with(tmp_path, TWO)
    fault = PodKill.model_validate({"selector": "app=shop", "gracePeriod": given})
    text = render(plan(stage.run(), replace(experiment, faults=(fault,))))
    assert f"podKill selector: app=shop, gracePeriod: {shown}" in text


def test_loaded_image_that_is_always_pulled_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, experiment = stage_with(tmp_path, TWO)
    monkeypatch.setattr(
        stage.cluster, "image_source", lambda reference: ImageSource(reference, "loaded", on_nodes=True)
    )
    progress: list[str] = []
    Images.of(stage.cluster, experiment).bring(progress.append)
    assert progress == [
        "shop/side:latest: imagePullPolicy is Always, so the nodes pull it although a copy is loaded; set IfNotPresent"
    ]


def test_image_that_is_never_pulled_must_be_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, experiment = stage_with(tmp_path, TWO)
    seen: list[Any] = []
    monkeypatch.setattr(stage.cluster, "bring_images", lambda *found: seen.append(found[2]))
    Images.of(stage.cluster, experiment).bring(silent)
    assert seen == [{"shop/init:1"}]


@pytest.mark.parametrize(
    ("image", "policy", "applied"),
    [
        ("shop", "", "Always"),
        ("localhost:5000/shop", "", "Always"),
        ("shop:latest", "", "Always"),
        ("shop:latest", "IfNotPresent", "IfNotPresent"),
        ("localhost:5000/shop:1", "", "IfNotPresent"),
        (f"shop@sha256:{'a' * 64}", "", "IfNotPresent"),
        ("${image:podinfo}", "", "IfNotPresent"),
        ("shop:1", "Always", "Always"),
    ],
)
def test_pull_policy_is_that_of_kubernetes(image: str, policy: str, applied: str) -> None:
    assert NamedImage(image, (), policy).pull_policy == applied


def test_images_are_found_at_any_depth() -> None:
    pod = {"containers": [{"image": "a:1"}], "volumes": [{"image": {"reference": "b:1"}}, {"emptyDir": {}}]}
    rollout = {
        "kind": "Rollout",
        "spec": {"strategy": {"pods": [{"template": {"spec": pod}}]}, "ephemeralContainers": [{"image": "c:1"}]},
        "status": {"containers": "none"},
    }
    found = {each.image: each.place for each in named_images(rollout)}
    assert found == {
        "a:1": ("spec", "strategy", "pods", 0, "template", "spec", "containers", 0, "image"),
        "b:1": ("spec", "strategy", "pods", 0, "template", "spec", "volumes", 0, "image", "reference"),
        "c:1": ("spec", "ephemeralContainers", 0, "image"),
    }


def test_validate_finds_runtimes_archives_and_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    _, experiment = stage_with(tmp_path, TWO)
    archive = docker_archive(tmp_path / "a.tar", "shop/side:latest")
    Runtime(tmp_path / "bin", "nerdctl", {"shop/web:1": held(archive)})
    assert known_here([experiment], [str(archive)]) == [
        "image shop/init:1: pulled: on a local cluster by this machine, on others by the nodes",
        f"image shop/side:latest: archive {archive} (linux/amd64)",
        "image shop/web:1: nerdctl has it (linux/amd64)",
    ]


def test_validate_shows_the_images_of_twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    twin = """
  weak:
    because: another version
    patch:
      deployment/shop: {spec: {template: {spec: {containers: [{name: shop, image: "shop/old:1"}]}}}}
    breaks: [recoveryTime]
"""
    _, experiment = stage_with(tmp_path, DEPLOYMENT, EXPERIMENT + twin)
    assert known_here([experiment], []) == [
        "image shop/old:1: pulled: on a local cluster by this machine, on others by the nodes"
    ]
