"""The exit codes in docs/usage.md are those of the code, and each one happens."""

from __future__ import annotations

import re

import pytest

from harness.cli import compare
from harness.pytest_plugin import missing_cluster, plugin
from tests.plugin.conftest import ROOT, Project

USAGE = (ROOT / "docs/usage.md").read_text()
BODIES = {
    "held": "objectives: [told: {}]\n",
    "missed": "objectives: [told: {says: BROKEN}]\n",
    "unknown": "objectives: [told: {says: INCONCLUSIVE}]\n",
}


def documented(command: str) -> set[int]:
    """Return the codes in the table of a command."""
    table = USAGE.split(f"| exit code of `{command}` | meaning |\n|---|---|\n")[1].split("\n\n")[0]
    return {int(code) for row in table.splitlines() for code in re.findall(r"\d+", row.split("|")[1])}


def test_documented_codes_of_pytest_are_those_of_the_code() -> None:
    own = {plugin.CLUSTER_UNUSABLE, plugin.PROMETHEUS_UNUSABLE, missing_cluster.CLUSTER_REQUIRED}
    assert documented("pytest") == set(range(6)) | own


def test_documented_codes_of_compare_are_those_of_the_code() -> None:
    assert documented("harness compare") == {0, compare.WORSE, compare.REGRESSED, compare.NOTHING_IN_COMMON}


@pytest.mark.parametrize(
    ("code", "name", "arguments"),
    [
        (0, "held", ["--cluster"]),
        (0, "held", ["--cluster", "--plan"]),
        (1, "missed", ["--cluster"]),
        (1, "unknown", ["--cluster"]),
        (2, "wrong", ["--cluster"]),
        (4, "held", ["--cluster", "--cluster-nodes=0"]),
        (5, "held", ["--cluster", "-k", "nothing"]),
        (6, "held", ["--cluster", "--halt-file=stop"]),
        (7, "held", ["--cluster-required"]),
        (8, "held", ["--cluster", "--prometheus-url=http://127.0.0.1:1"]),
    ],
)
def test_each_code_happens(project: Project, code: int, name: str, arguments: list[str]) -> None:
    project.experiment(name, BODIES.get(name, "objectives: [nothing: {}]\n"))
    (project.root / "stop").write_text("lunch")
    assert project.run(*arguments, "experiments").ret == code
