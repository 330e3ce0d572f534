"""The pre-commit hook: a manifest as pre-commit reads it, and its command run in a user's Git repository."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fake_run import write_project

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {name: shop}
hypothesis: Nothing is deleted.
workload: workloads/shop
objectives: [replicas: {of: deployment/shop, neverBelow: 1}]
"""
# The keys of a hook in the documentation of pre-commit.
KEYS = {
    *("id", "name", "entry", "language", "alias", "files", "exclude", "types", "types_or", "exclude_types"),
    *("always_run", "fail_fast", "verbose", "pass_filenames", "require_serial", "description", "language_version"),
    *("minimum_pre_commit_version", "args", "stages", "additional_dependencies"),
}


def hook() -> dict[str, Any]:
    (found,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    return dict(found)


def run(repository: Path) -> subprocess.CompletedProcess[str]:
    """Run the hook's command as pre-commit does: entry and args, from the top of the repository, no file names."""
    program, *arguments = [*shlex.split(hook()["entry"]), *hook()["args"]]
    assert program == "harness"
    assert hook()["pass_filenames"] is False
    command = [sys.executable, "-m", "harness.cli", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    write_project(tmp_path, EXPERIMENT, "shop.yaml")
    (tmp_path / "README.md").write_text("A shop.\n")
    subprocess.run(["git", "-C", str(tmp_path), "add", "--all"], check=True)
    return tmp_path


def test_manifest_has_the_keys_that_pre_commit_reads() -> None:
    found = hook()
    assert set(found) <= KEYS
    assert {"id", "name", "entry", "language"} <= set(found)
    assert found["id"] == "resilience-validate"
    assert found["language"] == "python"


def test_entry_is_a_script_of_the_package() -> None:
    """pre-commit installs the package for `language: python`, and finds the entry among its scripts."""
    assert f"{shlex.split(hook()['entry'])[0]} = " in (ROOT / "pyproject.toml").read_text()


def test_hook_starts_for_experiments_and_their_workloads(repository: Path) -> None:
    listed = subprocess.run(["git", "-C", str(repository), "ls-files"], capture_output=True, text=True, check=True)
    chosen = {name for name in listed.stdout.split() if re.search(hook()["files"], name)}
    assert "experiments/shop.yaml" in chosen
    assert any("workloads/" in name for name in chosen)
    assert "README.md" not in chosen


def test_good_experiment_passes(repository: Path) -> None:
    done = run(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 experiment file: no problems found" in done.stdout


def test_bad_experiment_fails_with_its_line(repository: Path) -> None:
    file = repository / "experiments" / "shop.yaml"
    file.write_text(EXPERIMENT.replace("hypothesis", "hypotesis"))
    done = run(repository)
    assert done.returncode != 0
    assert "experiments/shop.yaml:4" in done.stdout + done.stderr


def test_name_used_twice_fails(repository: Path) -> None:
    (repository / "experiments" / "other.yaml").write_text(EXPERIMENT)
    done = run(repository)
    assert done.returncode != 0
    assert "also the name of the experiment" in done.stdout + done.stderr
