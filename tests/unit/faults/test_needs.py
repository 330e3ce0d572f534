"""What each fault needs of the workload, reported by ``harness validate`` before there is a cluster."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.experiment.fault_needs import Manifests
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.experiment.workload_checks import load_checked
from harness.faults.process_hang import ProcessHang
from tests.fake_run import EXPERIMENT, write_project

KILL = "podKill: {selector: app=shop, count: 1}"

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      %s
      containers: [{name: shop, image: shop:1%s}, {name: proxy, image: proxy:1}]
"""
CUSTOM = """\
apiVersion: example.org/v1
kind: Shop
metadata: {name: shop}
"""


def problems(folder: Path, fault: str) -> list[str]:
    """What is wrong with an experiment on the usual shop, whose fault is replaced."""
    assert KILL in EXPERIMENT
    text = EXPERIMENT.replace(KILL, fault)
    if fault.startswith("node"):
        text = text.replace("faults:", "disruptive: true\nfaults:", 1)
    file = write_project(folder, text)
    with pytest.raises(InputError) as caught:
        load_experiment(file, Sources.for_root(folder))
    return [str(problem).partition(": ")[2] for problem in caught.value.problems]


def needs(
    folder: Path, process: str, *, spec: str = "", command: str = "", more: str = "", container: str | None = None
) -> list[str]:
    """What ``processHang`` needs of a Deployment with these additions to its pod spec and its container ``shop``."""
    (folder / "shop.yaml").write_text(DEPLOYMENT % (spec or "terminationGracePeriodSeconds: 1", command))
    if more:
        (folder / "more.yaml").write_text(more)
    fault = ProcessHang(selector="app=shop", process=process, container=container)
    return [f"{place[0]}: {text}" for place, text in fault.needs_of(Manifests(load_checked(folder)))]


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (
            "apply: {object: {apiVersion: v1, kind: ConfigMap, metadata: {name: new}, data: {a: b}}}",
            "faults[0].apply.object: found configmap/new, but the workload has only deployment/shop, service/shop; "
            "to create it, set create: true",
        ),
        (
            "podKill: {selector: app=shop, where: [leader], container: shpo}",
            "faults[0].podKill.container: found 'shpo', expected one of shop of deployment/shop; did you mean shop?",
        ),
        (
            "nodeStop: {hosting: app=shop, where: [leader], container: other}",
            "faults[0].nodeStop.container: found 'other', expected one of shop of deployment/shop",
        ),
        (
            "nodeStop: {hosting: app=shp}",
            "faults[0].nodeStop.hosting: found 'app=shp', but no pod of the workload has such labels",
        ),
        (
            "podKill: {selector: app=shp}",
            "faults[0].podKill.selector: found 'app=shp', but no pod of the workload has such labels",
        ),
        (
            "scale: {of: deployment/shpo, replicas: 1}",
            "faults[0].scale.of: found deployment/shpo, but the workload has only deployment/shop, service/shop; "
            "did you mean deployment/shop?",
        ),
    ],
)
def test_missing_need_is_reported_at_its_field(tmp_path: Path, fault: str, problem: str) -> None:
    assert problem in problems(tmp_path, fault)


def test_process_certainly_pid_1_needs_a_shared_namespace(tmp_path: Path) -> None:
    assert needs(tmp_path, "podinfo", command=', command: ["./podinfo", --port=1]') == [
        "process: process podinfo of deployment/shop cannot be stopped: it is PID 1 of its container, which the kernel "
        "shields: set shareProcessNamespace: true in the pod template"
    ]


@pytest.mark.parametrize(
    ("spec", "command", "container"),
    [
        ("shareProcessNamespace: true", ', command: ["./podinfo"]', None),
        ("hostPID: true", ', command: ["./podinfo"]', None),
        # The image's entry point may be an init process.
        ("", "", None),
        ("", ', args: ["podinfo"]', None),
        ("", ", command: [/tini, --, podinfo]", None),
        # Without a shared namespace the other container sees no process of this one.
        ("", ', command: ["./podinfo"]', "proxy"),
    ],
)
def test_process_possibly_not_pid_1_needs_nothing(
    tmp_path: Path, spec: str, command: str, container: str | None
) -> None:
    assert needs(tmp_path, "podinfo", spec=spec, command=command, container=container) == []


def test_names_are_compared_as_the_kernel_cuts_them(tmp_path: Path) -> None:
    assert len(needs(tmp_path, "a-very-long-name-indeed", command=", command: [/bin/a-very-long-name-as-well]")) == 1


def test_pods_made_by_an_operator_have_no_certain_needs(tmp_path: Path) -> None:
    assert needs(tmp_path, "podinfo", command=', command: ["./podinfo"]', more=CUSTOM) == []


def test_a_twin_that_removes_a_need_is_refused(tmp_path: Path) -> None:
    catalogue = Path(__file__).resolve().parents[3] / "experiments"
    shutil.copytree(catalogue / "workloads", tmp_path / "experiments" / "workloads")
    shutil.copytree(catalogue.parent / "loadprofiles", tmp_path / "loadprofiles")
    file = tmp_path / "experiments" / "process-hangs.yaml"
    file.write_text(
        (catalogue / "self_healing" / "process-hangs.yaml").read_text()
        + """\
  shielded:
    because: process 1 of a PID namespace cannot be stopped from inside
    patch: {deployment/podinfo: {spec: {template: {spec: {shareProcessNamespace: false}}}}}
    breaks: [restarts]
"""
    )
    with pytest.raises(InputError) as caught:
        load_experiment(file, Sources.for_root(tmp_path))
    (problem,) = caught.value.problems
    text = "twins.shielded: faults[0].processHang.process: process podinfo of deployment/podinfo cannot be stopped"
    assert text in str(problem)


def test_a_wrong_container_is_one_problem(tmp_path: Path) -> None:
    fault = "podKill: {selector: app=shop, where: [leader], container: shpo}"
    assert len(problems(tmp_path, fault)) == 1
    fault = "processHang: {selector: app=shop, process: shop, container: shpo}"
    assert len(problems(tmp_path, fault)) == 1
