"""The CI examples, checked by the linter that knows GitHub's workflows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from harness.cluster.local.toolchain import Go, find

HERE = Path(__file__).parent
EXAMPLES = sorted((HERE.parents[1] / "docs/ci").glob("github-*.yml"))


@pytest.fixture(scope="module")
def go() -> Go:
    if shutil.which("go") is None:
        pytest.skip("the linter is built with Go")
    return find((1, 26, 4), print)


def lint(go: Go, file: Path) -> subprocess.CompletedProcess[str]:
    command = [str(go.binary), "tool", "actionlint", str(file)]
    environment = go.environment()
    return subprocess.run(
        command, cwd=HERE / "actionlint", env=environment, capture_output=True, text=True, check=False
    )


def test_there_is_an_example() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_workflow_as_github_reads_it(go: Go, example: Path) -> None:
    done = lint(go, example)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_what_was_built_is_cached_for_the_version_that_built_it(example: Path) -> None:
    """GitHub never writes a cache anew under a key that exists, so one without it would keep the first for ever."""
    (job,) = yaml.safe_load(example.read_text())["jobs"].values()
    steps = job["steps"]
    (cache,) = [place for place, step in enumerate(steps) if step.get("uses", "").startswith("actions/cache@")]
    (install,) = [place for place, step in enumerate(steps) if "pip install" in step.get("run", "")]
    assert install < cache
    assert f"steps.{steps[install]['id']}.outputs.harness" in steps[cache]["with"]["key"]


def test_the_linter_finds_what_is_wrong(go: Go, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(EXAMPLES[0].read_text().replace("runs-on:", "run-on:"))
    assert "run-on" in lint(go, broken).stdout
