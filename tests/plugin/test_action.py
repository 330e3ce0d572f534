"""The steps of the GitHub action, run as the action runs them, on a cluster in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.plugin.conftest import CONFTEST, ROOT, Project
from tests.receiver import Receiver, receiving

SCRIPT = ROOT / "scripts" / "action"
BROKEN = "objectives: [told: {says: BROKEN}]\n"
# Everything but pip is real: an installation takes a minute and needs a package index.
PYTHON = """\
#!/bin/sh
case "$*" in
    *"-m pip "*) echo "$@" >> {log} ;;
    *) exec {python} "$@" ;;
esac
"""
RECORDER = '#!/bin/sh\necho "$(basename "$0") $*" >> {log}\n'


@dataclass
class Job:
    """A job of GitHub Actions in a user's project; ``log`` has the commands that were only recorded."""

    project: Project
    log: Path
    environment: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)

    def run(self, step: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run a step with these inputs, and keep its outputs."""
        file = self.project.root / "outputs"
        file.write_text("")
        given = {f"ACTION_{name.upper()}": value for name, value in inputs.items()}
        environment = {**self.environment, "GITHUB_OUTPUT": str(file), **given}
        done = subprocess.run(
            [str(SCRIPT), step], cwd=self.project.root, env=environment, capture_output=True, text=True, check=False
        )
        self.outputs = dict(line.split("=", 1) for line in file.read_text().splitlines())
        return done


def executable(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def job(project: Project) -> Job:
    project.pytester.makeconftest(CONFTEST)
    temporary, log = project.root / "runner", project.root / "recorded"
    executable(temporary / "resilience-harness-action/bin/python", PYTHON.format(log=log, python=sys.executable))
    for name in ("sudo", "sysctl"):
        executable(project.root / "bin" / name, RECORDER.format(log=log))
    path = f"{project.root / 'bin'}:{os.environ['PATH']}"
    return Job(project, log, {**os.environ, "RUNNER_TEMP": str(temporary), "PATH": path})


def action() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "action.yml").read_text()))


def test_steps_are_those_of_the_script_in_its_order() -> None:
    text = SCRIPT.read_text()
    steps = [step["run"].rpartition(" ")[2] for step in action()["runs"]["steps"]]
    called = [line.partition('"$0" ')[2].split()[0] for line in text.splitlines() if '"$0" ' in line]
    assert steps == called == ["install", "prepare", "experiments", "compare", "comment"]
    assert all(step["run"].startswith('"$GITHUB_ACTION_PATH/scripts/action" ') for step in action()["runs"]["steps"])


def test_every_input_reaches_the_script() -> None:
    passed = {name: value for step in action()["runs"]["steps"] for name, value in step.get("env", {}).items()}
    inputs = {name: value for name, value in passed.items() if "inputs." in value}
    assert inputs == {f"ACTION_{name.upper()}": f"${{{{ inputs.{name} }}}}" for name in action()["inputs"]}
    assert {name for name in passed if name not in SCRIPT.read_text()} == set()


def test_all_steps_of_a_held_experiment(job: Job) -> None:
    job.project.experiment("held")
    done = job.run("all", paths="experiments/held.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert job.outputs["verdict"] == "HELD"
    assert (job.project.root / job.outputs["report"]).is_file()
    assert (job.project.root / "reports" / "junit.xml").is_file()
    recorded = job.log.read_text().splitlines()
    assert recorded[0].endswith(f"pip install --quiet --disable-pip-version-check {ROOT}")
    assert "fs.inotify.max_user_instances=512" in recorded[1]
    assert "choose kind" in job.project.happened()
    assert "no comparison: found no earlier run at ''" in done.stdout


def test_broken_experiment_fails_with_outputs(job: Job) -> None:
    job.project.experiment("missed", BROKEN)
    done = job.run("experiments", paths="experiments/missed.yaml", cluster="local", reports="out")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert job.outputs["verdict"] == "BROKEN"
    assert job.outputs["report"].startswith("out/")
    assert "choose local" in job.project.happened()


def test_context_is_allowed_by_its_name(job: Job) -> None:
    job.project.experiment("held")
    done = job.run("experiments", paths="experiments/held.yaml", cluster="arn:aws:eks:staging")
    assert "--cluster-allow=arn:aws:eks:staging" in job.project.record().command
    assert done.returncode == 0, done.stdout + done.stderr
    assert job.run("prepare", cluster="arn:aws:eks:staging").returncode == 0
    assert not job.log.exists()


def test_arguments_are_split_as_by_a_shell(job: Job) -> None:
    for name in ("one", "two", "three"):
        job.project.experiment(name)
    done = job.run("experiments", arguments='-v -k "one or two" --annotations=none')
    assert done.returncode == 0, done.stdout + done.stderr
    assert {record.name for record in job.project.record().experiments} == {"one", "two"}


@pytest.mark.parametrize("text", ["-k 'one", "$(touch made) `touch made` ; touch made"])
def test_hostile_arguments_run_nothing(job: Job, text: str) -> None:
    job.project.experiment("one")
    assert job.run("experiments", arguments=text).returncode != 0
    assert not (job.project.root / "made").exists()


def test_nothing_selected_has_no_verdict(job: Job) -> None:
    job.project.experiment("one")
    done = job.run("experiments", arguments="-k other")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert job.outputs == {"verdict": "none", "report": "", "run": ""}


def test_usage_error_keeps_its_exit_code(job: Job) -> None:
    job.project.experiment("one")
    done = job.run("experiments", arguments="--annotations=wrong")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert job.outputs == {"verdict": "none", "report": "", "run": ""}


def test_run_is_compared_with_an_artefact(job: Job, tmp_path: Path) -> None:
    job.project.experiment("same")
    job.run("experiments", paths="experiments/same.yaml", reports="before")
    summary = tmp_path / "step-summary.md"
    job.environment["GITHUB_STEP_SUMMARY"] = str(summary)
    done = job.run("compare", baseline="before", run=job.outputs["run"], reports="before")
    assert done.returncode == 0, done.stdout + done.stderr
    assert summary.read_text().strip() == (job.project.root / "before/comparison.md").read_text().strip() != ""
    job.project.experiment("same", BROKEN)
    job.run("experiments", paths="experiments/same.yaml")
    assert job.run("compare", baseline="before", run=job.outputs["run"]).returncode in {1, 3}


def test_first_run_has_no_baseline(job: Job) -> None:
    done = job.run("compare", baseline="artefact", run="reports/r/results.json")
    assert done.returncode == 0
    assert done.stdout == "no comparison: found no earlier run at 'artefact'\n"


def test_unknown_step_is_refused(job: Job) -> None:
    done = job.run("deploy")
    assert done.returncode == 2
    assert done.stderr == "found 'deploy', expected one of: install prepare experiments compare comment all\n"


MARKER = "<!-- resilience-harness compare CI.tests.kind -->"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def pull_request(job: Job, receiver: Receiver, text: str = f"{MARKER}\nchanged\n") -> None:
    """Let the job be one of a pull request, whose comparison is in the report folder."""
    (job.project.root / "reports").mkdir()
    (job.project.root / "reports/comment.md").write_text(text)
    event = job.project.root / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    job.environment |= {
        "GITHUB_API_URL": receiver.url,
        "GITHUB_REPOSITORY": "me/shop",
        "GITHUB_EVENT_PATH": str(event),
        "ACTION_TOKEN": "c4n4ry",
        "no_proxy": "*",
    }


def comments(*bodies: str) -> bytes:
    return json.dumps([{"id": number, "body": body} for number, body in enumerate(bodies, 1)]).encode()


def test_first_comment_is_created(job: Job, receiver: Receiver) -> None:
    pull_request(job, receiver)
    receiver.answers = lambda request: (200, {}, comments("mine") if request.method == "GET" else b"{}")
    done = job.run("comment", comment="true")
    assert (done.returncode, done.stdout) == (0, "comment created\n")
    read, written = receiver.requests
    assert read.path == "/repos/me/shop/issues/7/comments?per_page=100&page=1"
    assert (written.method, written.path) == ("POST", "/repos/me/shop/issues/7/comments")
    assert written.json == {"body": f"{MARKER}\nchanged\n"}
    assert written.headers["authorization"] == "Bearer c4n4ry"


def test_earlier_comment_is_changed_on_any_page(job: Job, receiver: Receiver) -> None:
    pull_request(job, receiver)
    pages = {"1": comments(*["other"] * 100), "2": comments("other", f"quoted {MARKER}", f"{MARKER}\nold")}
    receiver.answers = lambda request: (200, {}, pages.get(request.path.rpartition("=")[2], b"{}"))
    done = job.run("comment", comment="true")
    assert (done.returncode, done.stdout) == (0, "comment 3 changed\n")
    assert (receiver.requests[-1].method, receiver.requests[-1].path) == ("PATCH", "/repos/me/shop/issues/comments/3")
    assert len(receiver.requests) == 3


def test_token_without_the_permission_is_a_warning(job: Job, receiver: Receiver) -> None:
    pull_request(job, receiver)
    receiver.answers = lambda request: (200, {}, b"[]") if request.method == "GET" else (403, {}, b"{}")
    done = job.run("comment", comment="true")
    assert done.returncode == 0
    assert "::warning::" in done.stdout
    assert "found status 403, expected 2xx (the job needs the permission pull-requests: write)" in done.stdout
    assert "c4n4ry" not in done.stdout + done.stderr


def test_job_of_no_pull_request_writes_no_comment(job: Job, receiver: Receiver) -> None:
    pull_request(job, receiver)
    (job.project.root / "event.json").write_text("{}")
    done = job.run("comment", comment="true")
    assert "this job runs for no pull request" in done.stdout
    assert job.run("comment", comment="false").stdout == "no comment: comment is not true\n"
    (job.project.root / "reports/comment.md").unlink()
    assert job.run("comment", comment="true").stdout == "no comment: nothing was compared\n"
    assert receiver.requests == []


def test_comparison_leaves_a_comment_for_its_job(job: Job) -> None:
    job.project.experiment("same")
    job.run("experiments", paths="experiments/same.yaml", reports="before")
    job.environment |= {"GITHUB_WORKFLOW": "-- My CI -->", "GITHUB_JOB": "tests"}
    job.run("compare", baseline="before", run=job.outputs["run"], reports="before")
    first, second = (job.project.root / "before/comment.md").read_text().splitlines()
    assert first == "<!-- resilience-harness compare My-CI-.tests.kind -->"
    assert second.startswith("➖ Resilience: 1 verdict unchanged")


def test_budget_is_an_option_of_the_run(job: Job) -> None:
    assert job.run("experiments", paths="experiments", budget="soon").returncode == pytest.ExitCode.USAGE_ERROR
