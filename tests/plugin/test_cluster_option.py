"""``--cluster`` and its companions: nothing is touched unasked, and what cannot be had ends the session."""

from __future__ import annotations

import pytest

from harness.engine.options import OPTIONS
from harness.pytest_plugin.missing_cluster import CLUSTER_REQUIRED
from harness.pytest_plugin.plugin import CLUSTER_UNUSABLE
from tests.plugin.conftest import QUICK, Project

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


def test_without_the_option_only_cluster_tests_are_skipped(project: Project) -> None:
    project.experiment("held")
    project.pytester.makepyfile(PYTHON_TEST)
    result = project.run()
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*needs a cluster: add --cluster*"])
    assert not project.touched


def test_path_after_the_bare_option_is_not_its_value(project: Project) -> None:
    project.experiment("held")
    result = project.run("--cluster", "experiments/held.yaml", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["experiments/held.yaml::held"])


@pytest.mark.parametrize(
    ("given", "wished"), [("--cluster", "auto"), ("--cluster=local", "local"), ("--cluster=a", "a")]
)
def test_requested_cluster_is_chosen(project: Project, given: str, wished: str) -> None:
    project.experiment("held")
    result = project.run(given, "experiments/held.yaml")
    result.assert_outcomes(passed=1)
    assert project.happened() == [f"choose {wished}", "made True", "take down", "left: []"]


def test_ini_file_can_request_a_cluster(project: Project) -> None:
    project.pytester.makeini("[pytest]\naddopts = --cluster\n")
    project.experiment("held")
    project.run("experiments/held.yaml").assert_outcomes(passed=1)
    assert project.happened()[0] == "choose auto"


def test_no_cluster_is_made_for_tests_that_need_none(project: Project) -> None:
    project.experiment("held")
    project.pytester.makepyfile("def test_alone(): pass")
    project.run("--cluster", "-k", "alone").assert_outcomes(passed=1, deselected=1)
    assert not project.touched


def test_unreachable_cluster_ends_the_session_with_its_exit_code(project: Project) -> None:
    project.choice.unreachable = True
    project.experiment("held")
    result = project.run("--cluster=local")
    assert result.ret == CLUSTER_UNUSABLE
    assert result.parseoutcomes().get("skipped", 0) == 0
    assert "ClusterUnreachable: nobody answers" in result.stdout.str()


def test_header_shows_the_cluster_once(project: Project) -> None:
    project.experiment("held")
    project.experiment("other")
    text = project.run("--cluster=local", "--resilience-seed=7", "-k", "held or other").stdout.str()
    assert text.count("resilience: owned fake cluster, context fake at https://fake.invalid, Kubernetes v1.36.3") == 1
    assert "seed 7" in text


def test_all_wrong_values_are_listed_in_one_usage_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_misspelt_ini_key_is_reported(project: Project) -> None:
    project.pytester.makeini("[pytest]\nresilience_twin = true\n")
    result = project.run("--cluster", "--collect-only")
    assert "Unknown config option: resilience_twin" in result.stdout.str() + result.stderr.str()


def test_a_report_folder_that_cannot_be_made_ends_the_session(project: Project) -> None:
    (project.root / "blocked").write_text("a file")
    project.experiment("held")
    result = project.run("--cluster", "--report-dir=blocked")
    assert result.ret == CLUSTER_UNUSABLE
    assert "blocked" in result.stdout.str()


def test_existing_cluster_is_kept(project: Project) -> None:
    (project.root / "cluster.up").touch()
    project.experiment("held")
    project.run("--cluster", "experiments/held.yaml").assert_outcomes(passed=1)
    assert "take down" not in project.happened()


@pytest.mark.parametrize(("keep", "kept"), [("never", False), ("on-failure", True), ("always", True)])
def test_cluster_is_kept_on_request(project: Project, keep: str, kept: bool) -> None:
    project.experiment("broken", "objectives: [told: {says: BROKEN}]\n")
    project.run("--cluster", "experiments/broken.yaml", f"--cluster-keep={keep}").assert_outcomes(failed=1)
    assert ("take down" not in project.happened()) is kept


def test_unreachable_prometheus_url_has_its_exit_code(project: Project) -> None:
    project.experiment("held")
    result = project.run("--cluster", "--prometheus-url=http://127.0.0.1:1", "experiments/held.yaml")
    assert result.ret == 8
    text = result.stdout.str()
    assert "--prometheus-url: http://127.0.0.1:1 does not answer" in text
    assert "nothing was deployed. Correct the URL" in text
    assert "ClusterUnreachable" not in text
    assert project.choice.cluster
    assert [
        call.path for call in project.choice.cluster.server.calls if call.writes and "review" not in call.path
    ] == []


SKIPPED = "resilience: {} skipped because no cluster was selected: add --cluster"


def test_experiments_skipped_for_lack_of_a_cluster_are_counted(project: Project) -> None:
    project.experiment("held")
    project.pytester.makepyfile(PYTHON_TEST)
    result = project.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines([SKIPPED.format("2 experiments were")])


@pytest.mark.parametrize(
    ("arguments", "variables", "why"),
    [
        (["--cluster-required"], {}, "--cluster-required is set"),
        ([], {"RESILIENCE_REQUIRED": "true"}, "--cluster-required is set"),
        ([], {"CI": "true"}, "CI is set"),
    ],
)
def test_missing_required_cluster_has_its_exit_code(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: list[str], variables: dict[str, str], why: str
) -> None:
    project.experiment("held")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = project.run(*arguments)
    assert result.ret == CLUSTER_REQUIRED
    result.stdout.fnmatch_lines([f"{SKIPPED.format('1 experiment was')} (exit code 7, because {why}; *"])


@pytest.mark.parametrize("variables", [{"CI": "false"}, {"CI": "true", "RESILIENCE_REQUIRED": "false"}])
def test_session_passes_if_no_cluster_is_required(
    project: Project, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    project.experiment("held")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert project.run().ret == 0


def test_in_ci_other_tests_and_deselected_experiments_pass(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.experiment("held")
    project.pytester.makepyfile("def test_alone(): pass")
    monkeypatch.setenv("CI", "true")
    result = project.run("-k", "alone")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*no cluster was selected*")


@pytest.mark.parametrize("disabled", [["-p", "no:skipping"], ["-p", "no:skipping", "-p", "no:terminal"]])
def test_no_cluster_test_runs_without_the_skipping_plugin(project: Project, disabled: list[str]) -> None:
    project.experiment("held")
    project.pytester.runpytest_inprocess(*QUICK, *disabled)
    assert not project.touched


def test_disruptive_stays_skipped_without_the_skipping_plugin(project: Project) -> None:
    project.experiment("wide", "disruptive: true\nfaults: [mark: {}]\nobjectives: [told: {}]\n")
    project.run("--cluster", "-p", "no:skipping", "experiments").assert_outcomes(skipped=1)
    assert not list((project.root / "reports").glob("*/results.json"))
