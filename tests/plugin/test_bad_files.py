"""Mistakes in experiment files: all told at once, with file, line and field, before any cluster is asked for."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

WRONG = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {name: Wrong}
hypothesis: Everything here is wrong.
workload: workloads/shop
fases: {}
phases: {fault: soon}
faults:
  - podKill: {selector: app=shop, cuont: 1}
objectives:
  - availability: {min: 101%}
"""


def test_all_mistakes_are_listed_before_any_connection(project: Project) -> None:
    (project.root / "experiments" / "wrong.yaml").write_text(WRONG)
    project.experiment("held")
    result = project.run("--cluster", "experiments")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    places = ["3: metadata.name", "6: fases: unknown key", "7: phases.fault", "9: faults[0].podKill.cuont: unknown key"]
    for place in (*places, "11: objectives[0].availability.min: found '101%'"):
        assert f"experiments/wrong.yaml:{place}" in result.stdout.str()
    assert not project.touched


def test_a_mistake_elsewhere_need_not_stop_the_rest(project: Project) -> None:
    (project.root / "experiments" / "wrong.yaml").write_text(WRONG)
    project.experiment("held")
    result = project.run("--cluster", "--continue-on-collection-errors", "experiments")
    result.assert_outcomes(passed=1, errors=1)
    assert result.stdout.str().count("resilience: owned fake cluster") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (WRONG.replace("kind: Experiment", "kind: Experimnt"), "wrong.yaml:2: kind"),
        (WRONG.replace("resilience/v1", "resilience/v2"), "wrong.yaml:1: apiVersion"),
        ("# " + "x" * 9000 + "\n" + WRONG, "wrong.yaml:4: metadata.name"),
        (WRONG + "objectives: []\n", "wrong.yaml:12: objectives: duplicate key, first given in line 10"),
    ],
    ids=["misspelt kind", "unknown version", "long comment", "duplicate key"],
)
def test_no_invalid_experiment_file_is_ignored(project: Project, text: str, told: str) -> None:
    (project.root / "experiments" / "wrong.yaml").write_text(text)
    result = project.run("experiments")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert told in result.stdout.str()


def test_foreign_files_and_load_profiles_are_ignored(project: Project) -> None:
    folder = project.root / "experiments"
    (folder / "values.yaml").write_text("replicas: 3\n")
    (folder / "profile.yaml").write_text("apiVersion: resilience/v1\nkind: LoadProfile\n")
    (folder / "manifest.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\n")
    (folder / "broken.yaml").write_text("{")
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    result = project.run("experiments", "--collect-only")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
