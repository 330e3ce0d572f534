"""The CI examples and the action, checked by linters and the published schemas of the CI systems."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from filelock import FileLock

from harness.cluster.local.toolchain import Go, find

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLES = sorted((ROOT / "docs/ci").glob("github-*.yml"))
USES = "OWNER/resilience-harness@TAG"
GITLAB = ROOT / "docs/ci/gitlab-ci.yml"
LINTERS = HERE / "requirements-linters.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resilience-harness" / "ci-linters"


@pytest.fixture(scope="module")
def go() -> Go:
    if shutil.which("go") is None:
        pytest.skip("the linter is built with Go")
    return find((1, 26, 4), print)


@pytest.fixture(scope="module")
def linters() -> Path:
    """A folder with the linters, installed when it is not there yet. Skips where the package index has no answer."""
    folder = CACHE / sha256(f"{sys.version} {LINTERS.read_text()}".encode()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if folder.is_dir():
            return folder
        made = Path(tempfile.mkdtemp(dir=CACHE))
        quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-input", "--retries=1", "--timeout=20"]
        command = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(made), "-r", str(LINTERS)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            shutil.rmtree(made)
            pytest.skip(f"the linters cannot be installed here: {ended.stderr.strip()[-200:]}")
        made.rename(folder)
        return folder


def schema_errors(linters: Path, name: str, data: Any) -> list[str]:
    """What the schema of a CI system, one of those that check-jsonschema has, finds in a document."""
    schema = json.loads((linters / "check_jsonschema/builtin_schemas/vendor" / f"{name}.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data)]


def loaded(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text()))


def lint(go: Go, file: Path) -> subprocess.CompletedProcess[str]:
    command = [str(go.binary), "tool", "actionlint", str(file)]
    environment = go.environment()
    return subprocess.run(
        command, cwd=HERE / "actionlint", env=environment, capture_output=True, text=True, check=False
    )


def test_example_exists() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_workflow_as_github_reads_it(go: Go, example: Path) -> None:
    done = lint(go, example)
    assert done.returncode == 0, done.stdout + done.stderr


def test_build_cache_key_includes_the_version() -> None:
    """GitHub never writes a cache anew under a key that exists, so one without it would keep the first for ever."""
    (job,) = loaded(ROOT / "docs/ci/github-actions-kind.yml")["jobs"].values()
    steps = job["steps"]
    (cache,) = [place for place, step in enumerate(steps) if step.get("uses", "").startswith("actions/cache@")]
    (install,) = [place for place, step in enumerate(steps) if "pip install" in step.get("run", "")]
    assert install < cache
    assert f"steps.{steps[install]['id']}.outputs.harness" in steps[cache]["with"]["key"]


def test_the_linter_finds_what_is_wrong(go: Go, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(EXAMPLES[0].read_text().replace("runs-on:", "run-on:"))
    assert "run-on" in lint(go, broken).stdout


def with_action(repository: Path, change: tuple[str, str] = ("", "")) -> Path:
    """The example with the action of its own repository, which actionlint reads too; ``change`` edits the example."""
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    shutil.copy(ROOT / "action.yml", repository)
    workflow = repository / ".github/workflows/resilience.yml"
    workflow.parent.mkdir(parents=True)
    text = (ROOT / "docs/ci/github-actions-action.yml").read_text()
    assert USES in text
    workflow.write_text(text.replace(USES, "./").replace(*change))
    return workflow


def test_example_of_the_action_uses_its_inputs(go: Go, tmp_path: Path) -> None:
    done = lint(go, with_action(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("change", [("paths:", "path:"), ("outputs.verdict", "outputs.verdicts")])
def test_unknown_input_or_output_is_found(go: Go, tmp_path: Path, change: tuple[str, str]) -> None:
    assert lint(go, with_action(tmp_path, change)).returncode != 0


@pytest.mark.parametrize(("name", "file"), [("github-actions", ROOT / "action.yml"), ("gitlab-ci", GITLAB)])
def test_file_fits_the_published_schema(linters: Path, name: str, file: Path) -> None:
    assert schema_errors(linters, name, loaded(file)) == []


def test_schema_finds_what_is_wrong(linters: Path) -> None:
    action, gitlab = loaded(ROOT / "action.yml"), loaded(GITLAB)
    del action["runs"]["steps"][0]["shell"]
    gitlab["resilience"]["artifacts"]["reports"]["junit"] = 5
    assert schema_errors(linters, "github-actions", action)
    assert schema_errors(linters, "gitlab-ci", gitlab)


def test_script_of_the_action_passes_shellcheck(linters: Path) -> None:
    command = [str(linters / "bin/shellcheck"), str(ROOT / "scripts/action")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_gitlab_reads_the_junit_file_that_is_written() -> None:
    job = loaded(GITLAB)["resilience"]
    written = re.findall(r"--junitxml=(\S+)", " ".join(job["script"]))
    assert written == [job["artifacts"]["reports"]["junit"]]


def test_gitlab_sets_no_unknown_option(tmp_path: Path) -> None:
    """The lines of the script, run in a user's project without experiments: pytest reads every option first."""
    (script,) = [line for line in loaded(GITLAB)["resilience"]["script"] if "pytest" in line]
    (tmp_path / "experiments").mkdir()
    command = script.replace("python -m", f"{sys.executable} -m") + " -p no:cacheprovider --collect-only"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TARGET_CONTEXT": "staging"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout + done.stderr
