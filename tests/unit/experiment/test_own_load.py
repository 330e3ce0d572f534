"""The loads of the user's own: a locustfile or a recording, with the place of each problem in the experiment file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.common.excerpts import with_excerpts
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from tests.fake_run import SERVICE, write_project

TEXT = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {{name: own}}
hypothesis: The users barely notice a killed pod.
workload: builtin/podinfo
load:
  target: {target}
{load}
faults: [podKill: {{selector: app=podinfo}}]
objectives:
  - availability: {{min: 50%{more}}}
"""
LINE = '10.0.0.7 - - [10/Oct/2025:13:55:01 +0200] "GET / HTTP/1.1" 200 5\n'


def problems(folder: Path, load: str, more: str = "", target: str = "service/podinfo") -> list[str]:
    file = folder / "own.yaml"
    file.write_text(TEXT.format(load=load, more=more, target=target))
    (folder / "access.log").write_text(LINE)
    (folder / "own.py").write_text("")
    try:
        load_experiment(file, Sources.for_root(folder))
    except InputError as error:
        return [str(problem).removeprefix(f"{folder}/") for problem in error.problems]
    return []


def test_a_recording_is_found_beside_the_experiment(tmp_path: Path) -> None:
    assert problems(tmp_path, "  replay: access.log") == []
    found = load_experiment(tmp_path / "own.yaml", Sources.for_root(tmp_path)).load
    assert found is not None
    assert found.replay is not None
    assert found.replay.file == str(tmp_path / "access.log")
    assert found.described == "replay of access.log at 1× speed, 100%"


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ("  replay: missing.log", "own.yaml:8: load.replay: found 'FOLDER/missing.log', which cannot be read: No such"),
        ('  replay: "a\\0b"', "own.yaml:8: load.replay: found 'FOLDER/a\\x00b', which cannot be read: embedded null"),
        ("  replay: ..", "own.yaml:8: load.replay: found 'FOLDER/..', which is not a file"),
        (f"  replay: {'a' * 300}", "own.yaml:8: load.replay: found "),
        (f"  locustfile: {'a' * 300}.py\n  users: 3", "own.yaml:8: load.locustfile: found "),
        (f"  locustfile: own.py\n  users: 3\n  python: {'a' * 300}", "own.yaml:10: load.python: found "),
        ("  replay: own.yaml", "own.yaml:1: 11 of 11 lines are unknown"),
        ("  replay: access.log\n  rate: 5", "own.yaml:9: load.rate: found both replay and rate"),
        ("  replay: access.log\n  profile: ramp", "own.yaml:9: load.profile: found both replay and profile"),
        ("  replay: {file: access.log, speed: -1}", "own.yaml:8: load.replay.speed: found -1"),
        ("  replay: {file: access.log, sped: 1}", "own.yaml:8: load.replay.sped: unknown key"),
        ("  replay: access.log\n  options: {path: /}", "own.yaml:9: load.options: unknown option path of a replay"),
        ("  locustfile: none.py\n  users: 3", "own.yaml:8: load.locustfile: found 'none.py', expected a file"),
        (
            "  locustfile: access.log\n  users: 3",
            "own.yaml:8: load.locustfile: found 'access.log', expected a Python file",
        ),
        ("  users: 3\n  rate: 5", "own.yaml:8: load.users: found users without a locustfile"),
        ("  users: 3", "own.yaml:6: load: rate is missing"),
    ],
)
def test_each_problem_has_its_place(tmp_path: Path, load: str, message: str) -> None:
    found = problems(tmp_path, load)
    assert found[0].startswith(message.replace("FOLDER", str(tmp_path)))


def test_a_share_cannot_end_the_fault_early_without_a_rate(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "  replay: access.log", more=", abortOnBreach: true")
    assert "own.yaml:11: objectives[0].availability.abortOnBreach: found abortOnBreach, expected it with rate" in found
    assert problems(tmp_path, "  rate: 5", more=", abortOnBreach: true") == []


def test_a_locustfile_has_no_target_with_credentials(tmp_path: Path) -> None:
    target = "{service: podinfo, host: shop.test}"
    (found,) = problems(tmp_path, "  locustfile: x.py\n  users: 3", target=target)
    assert "own.yaml:7: load.target: found the target service/podinfo, expected a Service or a URL" in found


@pytest.mark.parametrize(
    "target",
    [
        "{service: podinfo, auth: {bearer: hunter2}}",
        "{service: podinfo, auth: {basic: {username: me, password: hunter2}}}",
        "https://me:hunter2@shop.test/",
        "{url: 'https://me:hunter2@shop.test/'}",
    ],
)
def test_a_password_in_the_file_is_not_shown(tmp_path: Path, target: str) -> None:
    file = tmp_path / "own.yaml"
    for load in (f"load: {{rate: 5, target: {target}}}", f"prober: [{{http: {{target: {target}}}}}]"):
        start, _, end = TEXT.format(load="", more="", target="").partition("load:\n  target: \n\n")
        file.write_text(f"{start}{load}\n{end}")
        with pytest.raises(InputError) as caught:
            load_experiment(file, Sources.for_root(tmp_path))
        message = with_excerpts(caught.value)
        assert "own.yaml:6: " in message
        assert "hunter2" not in message


def test_auth_that_a_behaviour_would_ignore_is_refused(tmp_path: Path) -> None:
    secret = "{service: podinfo, auth: {bearer: '${env:TOKEN}'}}"
    (found,) = problems(tmp_path, "  rate: 5\n  behaviour: tcp", target=secret)
    assert found == (
        "own.yaml:9: load.behaviour: found a target with auth, expected none: the behaviour tcp sends no credentials"
    )
    assert problems(tmp_path, "  rate: 5\n  behaviour: websocket", target=secret) == []


def test_load_from_the_cluster_to_a_url_is_refused(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "  rate: 5\n  from: cluster", target="https://shop.test/")
    assert found.startswith("own.yaml:6: load: found from: cluster with a URL")
    assert problems(tmp_path, "  rate: 5", target="https://shop.test/") == []


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("type: ClusterIP", "Service shop is of type ClusterIP"),
        ("clusterIP: None", "Service shop is headless"),
        ("type: NodePort", ""),
        ("type: LoadBalancer", ""),
    ],
)
def test_locustfile_needs_a_service_reachable_from_here(tmp_path: Path, spec: str, found: str) -> None:
    write_project(tmp_path)
    manifest = SERVICE.replace("type: NodePort", spec)
    service = tmp_path / "experiments" / "workloads" / "shop" / "service.yaml"
    service.write_text(manifest if "NodePort" in spec else manifest.replace(", nodePort: 30080", ""))
    (tmp_path / "experiments" / "own.yaml").write_text(
        TEXT.format(load="  locustfile: own.py\n  users: 3", more="", target="service/shop")
        .replace("builtin/podinfo", "workloads/shop")
        .replace("podinfo", "shop")
    )
    (tmp_path / "experiments" / "own.py").write_text("from locust import HttpUser\n\n\nclass Buyer(HttpUser): ...\n")
    try:
        load_experiment(tmp_path / "experiments" / "own.yaml", Sources.for_root(tmp_path))
        told = []
    except InputError as error:
        told = [str(problem) for problem in error.problems]
    assert [each for each in told if "load.target" in each] == (
        [
            f"{tmp_path}/experiments/own.yaml:7: load.target: found service/shop: {found}, so it can be reached only "
            "inside the cluster, but a locustfile runs on this machine; expected a Service of type NodePort or "
            "LoadBalancer, or a URL, such as that of an Ingress"
        ]
        if found
        else []
    )
