"""The examples for Jenkins, Tekton and Argo: kinds of Kubernetes by their published types, others by structure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.engine.options import OPTIONS
from harness.experiment.workload_checks.schema import Schemas, partial_misfits

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "docs/ci"
OBJECTS = {
    file.name: list(yaml.safe_load_all(file.read_text()))
    for file in (CI / "tekton.yaml", CI / "argocd-postsync.yaml", CI / "argo-workflow.yaml", CI / "argo-rollouts.yaml")
}
JENKINS = (CI / "Jenkinsfile").read_text()
CONTAINER = "#io.k8s.api.core.v1.Container"
# Fields of a Tekton step that a container does not have.
TEKTON_ONLY = {"script"}


def containers(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping below a node that has an image: containers, and steps of Tekton."""
    if isinstance(node, list):
        for each in node:
            yield from containers(each)
    elif isinstance(node, dict):
        if "image" in node and isinstance(node["image"], str):
            yield node
        for each in node.values():
            yield from containers(each)


def named(kind: str) -> dict[str, Any]:
    (found,) = [item for items in OBJECTS.values() for item in items if item["kind"] == kind]
    return deepcopy(found)


def test_job_of_argo_cd_fits_the_types_of_kubernetes() -> None:
    job = named("Job")
    # `kubectl create` fills in the name.
    job["metadata"] = {"name": "resilience", "annotations": job["metadata"]["annotations"]}
    assert list(Schemas([]).misfits(job)) == []
    job["spec"]["backoffLimits"] = 0
    assert list(Schemas([]).misfits(job))


@pytest.mark.parametrize("name", OBJECTS)
def test_containers_fit_the_types_of_kubernetes(name: str) -> None:
    found = list(containers(OBJECTS[name]))
    assert found
    for container in found:
        only = {key: value for key, value in container.items() if key not in TEKTON_ONLY}
        assert list(partial_misfits(only, CONTAINER)) == []
    assert list(partial_misfits({**found[0], "imagePulPolicy": "Always"}, CONTAINER))


def test_hook_of_argo_cd_runs_once_after_the_sync() -> None:
    job = named("Job")
    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "PostSync"
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 180


def test_analysis_of_argo_rollouts_runs_the_job_of_argo_cd_once() -> None:
    (metric,) = named("AnalysisTemplate")["spec"]["metrics"]
    assert (metric["count"], metric["failureLimit"], set(metric["provider"])) == (1, 0, {"job"})
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "resilience"}, **metric["provider"]["job"]}
    assert list(Schemas([]).misfits(job)) == []
    assert job["spec"] == named("Job")["spec"]


def test_pipeline_of_tekton_runs_its_task() -> None:
    task, pipeline = named("Task"), named("Pipeline")
    assert {task["apiVersion"], pipeline["apiVersion"]} == {"tekton.dev/v1"}
    assert set(pipeline["spec"]) <= {"description", "params", "results", "tasks", "finally", "workspaces"}
    assert set(task["spec"]) <= {"description", "params", "results", "steps", "sidecars", "volumes", "workspaces"}
    (run,) = pipeline["spec"]["tasks"]
    assert run["taskRef"]["name"] == task["metadata"]["name"]
    workspaces = {each["name"] for each in task["spec"]["workspaces"]}
    assert {each["name"] for each in run["workspaces"]} == workspaces
    text = (CI / "tekton.yaml").read_text()
    assert set(re.findall(r"\$\(params\.([a-z]+)", text)) == {each["name"] for each in task["spec"]["params"]}
    assert set(re.findall(r"\$\(workspaces\.([a-z]+)", text)) == workspaces
    assert set(re.findall(r"\$\(results\.([a-z-]+)", text)) == {each["name"] for each in task["spec"]["results"]}


def test_workflow_of_argo_refers_to_what_it_has() -> None:
    workflow = named("WorkflowTemplate")
    assert workflow["apiVersion"] == "argoproj.io/v1alpha1"
    (template,) = workflow["spec"]["templates"]
    assert workflow["spec"]["entrypoint"] == template["name"]
    assert set(template) <= {"name", "inputs", "outputs", "container"}
    text = (CI / "argo-workflow.yaml").read_text()
    parameters = {each["name"] for each in workflow["spec"]["arguments"]["parameters"]}
    assert set(re.findall(r"\{\{workflow\.parameters\.([a-z]+)", text)) == parameters
    given = {each["name"] for each in template["inputs"]["parameters"]}
    assert set(re.findall(r"\{\{inputs\.parameters\.([a-z]+)", text)) == given


def test_jenkinsfile_is_balanced_and_reads_the_junit_file() -> None:
    code = re.sub(r"//[^\n]*|'[^'\n]*'", "''", JENKINS)
    depth = 0
    for sign in re.findall(r"[{}()]", code):
        depth += 1 if sign in "{(" else -1
        assert depth >= 0
    assert depth == 0
    assert code.startswith("''\n''\npipeline {")
    (written,) = re.findall(r"--junitxml=(\S+?)'", JENKINS)
    assert f"junit testResults: '{written}'" in JENKINS


def options() -> list[tuple[str, list[str]]]:
    """Return the options of the command in each example."""
    texts = {"Jenkinsfile": JENKINS, **{name: (CI / name).read_text() for name in OBJECTS}}
    return [(name, sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)))) for name, text in texts.items()]


@pytest.mark.parametrize(("name", "found"), options(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_option_exists(name: str, found: list[str]) -> None:
    # Those of pytest, and `--quiet` of pip.
    known = {option.command_line for option in OPTIONS} | {"--cluster", "--junitxml", "--quiet"}
    assert set(found) <= known, name
    assert "--cluster-strict" in found
