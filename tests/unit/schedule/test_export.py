"""Plain manifests, kustomization and chart of a schedule are the same objects."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.local.paths import cache_root
from harness.schedule import export
from harness.schedule.manifests import manifests
from tests.unit.schedule.given import SETS, values

Objects = dict[tuple[str, str, str], Any]


def _by_name(objects: Iterable[Any]) -> Objects:
    return {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item
        for item in objects
        if item
    }


def _program(name: str) -> str:
    """Return a program on the PATH or in the cache; skips the test without one, and builds nothing."""
    found = shutil.which(name) or next(map(str, (cache_root() / "bin").glob(f"*/{name}")), None)
    if found is None:
        pytest.skip(f"no {name} on the PATH or in the cache")
    return found


def _run(*command: str) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("name", SETS)
def test_chart_renders_the_same_objects(name: str, tmp_path: Path) -> None:
    helm, given = _program("helm"), values(**SETS[name])
    export.write_chart(given, tmp_path / "chart")
    kubernetes = ("--kube-version", "1.36.0")
    text = _run(helm, "template", "nightly", str(tmp_path / "chart"), *kubernetes)
    assert _by_name(yaml.safe_load_all(text)) == _by_name(manifests(given))
    assert "0 chart(s) failed" in _run(helm, "lint", "--strict", str(tmp_path / "chart"), *kubernetes)


@pytest.mark.parametrize("name", SETS)
def test_kustomization_renders_the_same_objects(name: str, tmp_path: Path) -> None:
    kubectl, given = _program("kubectl"), values(**SETS[name])
    export.write_kustomization(given, tmp_path)
    text = _run(kubectl, "kustomize", str(tmp_path))
    assert _by_name(yaml.safe_load_all(text)) == _by_name(manifests(given))


@pytest.mark.parametrize("name", SETS)
def test_yaml_of_manifests_reads_as_they_are(name: str) -> None:
    objects = manifests(values(**SETS[name]))
    text = export.as_yaml(*objects)
    assert list(yaml.safe_load_all(text)) == objects
    # Anchors surprise readers.
    assert "&id" not in text


def test_values_of_a_chart_are_complete(tmp_path: Path) -> None:
    export.write_chart(values(), tmp_path)
    found = yaml.safe_load((tmp_path / "values.yaml").read_text())
    assert found["timeZone"] == "Europe/Berlin"
    assert set(found) >= {"name", "schedule", "image", "resources", "results", "network", "rules", "roles", "files"}
