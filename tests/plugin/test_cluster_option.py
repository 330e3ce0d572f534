"""``--cluster`` and its companions: nothing is touched unasked, and what cannot be had ends the session."""

from __future__ import annotations

import pytest

from harness.plugin import CLUSTER_UNUSABLE
from harness.settings import OPTIONS
from tests.plugin.conftest import Project

PYTHON_TEST = """
def test_needs_it(cluster):
    assert cluster.context == "fake"

def test_has_its_own(load):
    assert load == 1

import pytest

@pytest.fixture
def load():
    return 1
"""


@pytest.mark.parametrize("asked", [["--help"], ["--markers"], ["--collect-only"], ["--collect-only", "-q"]])
def test_questions_about_a_session_touch_no_cluster(project: Project, asked: list[str]) -> None:
    project.experiment("held")
    project.pytester.makepyfile(PYTHON_TEST)
    result = project.run("--cluster", *asked)
    assert result.ret == 0
    assert not project.touched


def test_help_names_every_option_and_what_it_means(project: Project) -> None:
    text = " ".join(project.run("--help").stdout.str().split())
    for option in OPTIONS:
        assert option.command_line in text
        assert option.ini in text
    assert "--cluster" in text


def test_without_the_option_what_needs_a_cluster_is_skipped_and_nothing_else_is(project: Project) -> None:
    project.experiment("held")
    project.pytester.makepyfile(PYTHON_TEST)
    result = project.run()
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*needs a cluster: --cluster*"])
    assert not project.touched


def test_a_path_after_the_bare_option_stays_a_path(project: Project) -> None:
    project.experiment("held")
    result = project.run("--cluster", "experiments/held.yaml", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["experiments/held.yaml::held"])


@pytest.mark.parametrize(
    ("given", "wished"), [("--cluster", "auto"), ("--cluster=local", "local"), ("--cluster=a", "a")]
)
def test_what_was_asked_for_is_what_is_chosen(project: Project, given: str, wished: str) -> None:
    project.experiment("held")
    result = project.run(given, "experiments/held.yaml")
    result.assert_outcomes(passed=1)
    assert project.happened() == [f"choose {wished}", "made True", "take down", "left: []"]


def test_the_ini_file_can_ask_for_a_cluster_too(project: Project) -> None:
    project.pytester.makeini("[pytest]\naddopts = --cluster\n")
    project.experiment("held")
    project.run("experiments/held.yaml").assert_outcomes(passed=1)
    assert project.happened()[0] == "choose auto"


def test_no_cluster_is_made_for_tests_that_need_none(project: Project) -> None:
    project.experiment("held")
    project.pytester.makepyfile("def test_alone(): pass")
    project.run("--cluster", "-k", "alone").assert_outcomes(passed=1, deselected=1)
    assert not project.touched


def test_an_unreachable_cluster_ends_the_session_with_a_code_of_its_own(project: Project) -> None:
    project.choice.unreachable = True
    project.experiment("held")
    result = project.run("--cluster=local")
    assert result.ret == CLUSTER_UNUSABLE
    assert result.parseoutcomes().get("skipped", 0) == 0
    assert "ClusterUnreachable: nobody answers" in result.stdout.str()


def test_the_header_tells_where_the_run_takes_place_once(project: Project) -> None:
    project.experiment("held")
    project.experiment("other")
    text = project.run("--cluster=local", "--resilience-seed=7", "-k", "held or other").stdout.str()
    assert text.count("resilience: fake cluster, context fake at https://fake.invalid, Kubernetes v1.36.3") == 1
    assert "seed 7" in text


def test_all_wrong_values_are_told_in_one_usage_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESILIENCE_SEDE", "5")
    monkeypatch.setenv("RESILIENCE_NODES", "none")
    project.pytester.makeini("[pytest]\nresilience_twins = perhaps\n")
    result = project.run("--cluster", "--cluster-keep=sometimes", "--prometheus-url=localhost:9090")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    for wrong in ("RESILIENCE_SEDE: unknown", "--cluster-nodes: found 'none'", "--twins: found 'perhaps'"):
        result.stderr.fnmatch_lines([f"*{wrong}*"])
    result.stderr.fnmatch_lines(["*--cluster-keep: found 'sometimes', expected one of never, on-failure, always*"])
    result.stderr.fnmatch_lines(["*--prometheus-url: found 'localhost:9090'*"])
    assert not project.touched


def test_a_misspelt_ini_key_is_told(project: Project) -> None:
    project.pytester.makeini("[pytest]\nresilience_twin = true\n")
    result = project.run("--cluster", "--collect-only")
    assert "Unknown config option: resilience_twin" in result.stdout.str() + result.stderr.str()


def test_a_report_folder_that_cannot_be_made_ends_the_session(project: Project) -> None:
    (project.root / "blocked").write_text("a file")
    project.experiment("held")
    result = project.run("--cluster", "--report-dir=blocked")
    assert result.ret == CLUSTER_UNUSABLE
    assert "blocked" in result.stdout.str()


def test_a_cluster_that_was_there_before_stays(project: Project) -> None:
    (project.root / "cluster.up").touch()
    project.experiment("held")
    project.run("--cluster", "experiments/held.yaml").assert_outcomes(passed=1)
    assert "take down" not in project.happened()


@pytest.mark.parametrize(("keep", "kept"), [("never", False), ("on-failure", True), ("always", True)])
def test_a_cluster_is_kept_as_asked(project: Project, keep: str, kept: bool) -> None:
    project.experiment("broken", "objectives: [told: {says: BROKEN}]\n")
    project.run("--cluster", "experiments/broken.yaml", f"--cluster-keep={keep}").assert_outcomes(failed=1)
    assert ("take down" not in project.happened()) is kept
