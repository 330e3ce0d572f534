"""Which files are experiments: YAML and JSON, in every encoding that kubectl reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from harness.experiment.files import experiment_files, is_experiment
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from tests.fake_run import EXPERIMENT, write_project

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_experiments_in_any_encoding_are_found_and_read(tmp_path: Path, encoding: str, newline: str) -> None:
    file = write_project(tmp_path)
    file.write_bytes(EXPERIMENT.replace("\n", newline).encode(encoding))
    assert experiment_files(file.parent) == [file]
    assert load_experiment(file, Sources.for_root(tmp_path)).name == "one-killed"


def test_experiments_in_json_are_found_and_read(tmp_path: Path) -> None:
    file = write_project(tmp_path)
    file.unlink()
    file = file.with_suffix(".json")
    file.write_text(json.dumps(yaml.safe_load(EXPERIMENT), indent="\t"))
    assert experiment_files(file.parent) == [file]
    assert load_experiment(file, Sources.for_root(tmp_path)).name == "one-killed"


@pytest.mark.parametrize("name", ["results.json", "other.txt", "manifest.yaml"])
def test_other_files_are_no_experiments(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(EXPERIMENT if name.endswith("txt") else '{"apiVersion": "v1", "of": "resilience/v1"}')
    assert not is_experiment(file)


def test_twin_keeps_mounts_that_its_patch_does_not_name(tmp_path: Path) -> None:
    text = EXPERIMENT.replace(
        "{spec: {replicas: 1}}",
        "{spec: {template: {spec: {containers: [{name: shop, volumeMounts: [{name: conf, mountPath: /c}]}]}}}}",
    )
    file = write_project(tmp_path, text)
    manifest = tmp_path / "experiments/workloads/shop/deployment.yaml"
    mounts = "volumeMounts: [{name: conf, mountPath: /a}, {name: conf, mountPath: /b}]"
    container = '{name: shop, image: "${image:podinfo}"}'
    written = manifest.read_text()
    assert container in written
    mounted = container.replace('}"}', f'}}", {mounts}}}')
    manifest.write_text(written.replace(container, mounted) + "      volumes: [{name: conf, emptyDir: {}}]\n")
    twin = load_experiment(file, Sources.for_root(tmp_path)).as_twin("one-replica").workload.find("deployment/shop")
    assert twin is not None
    (found,) = twin["spec"]["template"]["spec"]["containers"]
    assert [mount["mountPath"] for mount in found["volumeMounts"]] == ["/c", "/a", "/b"]
