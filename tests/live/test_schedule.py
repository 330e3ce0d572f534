"""Scheduled runs on a real cluster: a CronJob fires; halted runs and killed pods leave nothing; the next run works."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.main import main
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, VOLUME_CLAIMS
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked
from harness.common.clock import SystemClock
from harness.common.errors import ApiError
from harness.common.naming import SYSTEM_NAMESPACE
from harness.common.waiting import wait_until
from harness.model.verdict import Verdict
from harness.results.record import RunRecord
from harness.results.reporting.store import load
from harness.safety.cleanup import janitor
from harness.schedule.naming import CONTAINER, RESULTS, SCHEDULE_LABEL
from harness.schedule.status import Ended, statuses
from tests.live import servers, short_experiment

pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
NAME = "selftest-schedule"
CLUSTER = ("--cluster=local", f"--cluster-name={NAME}")
CLOCK = SystemClock()
# Seconds. The pod, its image and two experiments, on a busy machine.
PATIENCE = 600.0
PROMETHEUS = "monitoring/prometheus:9090"
NEVER = "0 0 1 1 *"


def _silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A cluster in which the janitor runs every minute."""
    with locked(f"{NAME}-tests", _silent, "another run of these tests"):
        cluster = commands.up(NAME, 1, _silent)
        with closing(cluster):
            for item in janitor.manifests(cluster.runner_image(_silent), "* * * * *"):
                cluster.api.apply(item)
            yield cluster
        commands.down(NAME, _silent)
        servers.remove_images()


@pytest.fixture(scope="module")
def api(cluster: LocalCluster) -> KubeApi:
    return cluster.api


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a workload and no experiments yet."""
    workload = tmp_path / "experiments/workloads/podinfo"
    workload.mkdir(parents=True)
    source = short_experiment.CATALOGUE / "workloads/podinfo/podinfo.yaml"
    (workload / "podinfo.yaml").write_text(source.read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(project: Path, name: str, **changes: Any) -> None:
    file = short_experiment.write(project / "experiments", without=("prometheus", "latency"))
    body = yaml.safe_load(file.read_text())
    file.unlink()
    body |= {"metadata": {"name": name}, **changes}
    (project / f"experiments/{name}.yaml").write_text(yaml.safe_dump(body))


def _long(project: Path, fault: str = "5m") -> None:
    """An experiment with a long fault that has an effect to undo."""
    _write(
        project,
        "long",
        faults=[{"scale": {"of": "deployment/podinfo", "replicas": 2}}],
        phases={"baseline": "3s", "fault": fault, "recovery": "30s", "settle": "2s"},
        objectives=[{"availability": {"min": "50%"}}],
    )


def _day(project: Path, *names: str, **more: Any) -> str:
    """Write a game day with these experiments in this order; return its path."""
    folder = project / "experiments/gamedays"
    folder.mkdir()
    body = {
        "apiVersion": "resilience/v1",
        "kind": "GameDay",
        "metadata": {"name": "friday"},
        "hypothesis": "A day goes on in the next pod.",
        "experiments": {"paths": [f"../{name}.yaml" for name in names]},
        **more,
    }
    (folder / "friday.yaml").write_text(yaml.safe_dump(body))
    return "experiments/gamedays/friday.yaml"


def _schedule(*words: str) -> int:
    return main(["schedule", *words, *CLUSTER])


def _apply(name: str, cron: str, path: str = "experiments", *more: str) -> None:
    assert _schedule("apply", path, "--name", name, "--cron", cron, "--prometheus", PROMETHEUS, *more) == 0


def _runs(api: KubeApi, name: str) -> list[Ended]:
    (found,) = statuses(api, CLOCK.wall(), name)
    return [*found.runs]


def _await(what: str, look: Callable[[], bool | None]) -> None:
    wait_until(what, lambda: (True if look() else None, "not yet"), PATIENCE, CLOCK, every=1.0)


def _ended(api: KubeApi, name: str, count: int = 1) -> Ended:
    """The newest run, once this many have ended."""
    _await("the run to end", lambda: sum(not run.active for run in _runs(api, name)) >= count)
    return next(run for run in _runs(api, name) if not run.active)


def _pod(api: KubeApi, name: str) -> str:
    """The newest pod of a schedule; empty before the Job's controller has created it."""
    pods = api.list(PODS, SYSTEM_NAMESPACE, f"{SCHEDULE_LABEL}={name}").items
    found = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return str(found[-1]["metadata"]["name"]) if found else ""


def _experiments(api: KubeApi) -> list[str]:
    found = [item["metadata"]["name"] for item in api.list(NAMESPACES).items]
    return [name for name in found if name.startswith("rh-")]


def _in_fault(api: KubeApi, name: str) -> bool:
    pod = _pod(api, name)
    if not pod:
        return False
    with suppress(ApiError):
        log = api.logs(SYSTEM_NAMESPACE, pod, CONTAINER)
        scaled = [item for item in api.list(DEPLOYMENTS).items if item["metadata"]["namespace"].startswith("rh-long-")]
        return "long: fault" in log and any(item["spec"]["replicas"] == 2 for item in scaled)
    return False


def test_game_day_fires_and_keeps_its_report(api: KubeApi, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(project, "first")
    _write(project, "second")
    _apply("short", "* * * * *", _day(project, "first", "second"))
    _await("the CronJob to fire", lambda: bool(_runs(api, "short")))
    assert _schedule("suspend", "short") == 0
    run = _ended(api, "short")
    capsys.readouterr()
    assert _schedule("logs", "short") == 0
    log = capsys.readouterr().out
    assert run.outcome is not None, log
    assert (run.outcome.state, run.outcome.left, run.succeeded) == ("HELD", [], True), log
    assert "game day friday: HELD: 2 runs: 2 passed" in log
    assert "first: HELD" in log
    assert "second: HELD" in log
    assert "load from the cluster, 1 ×" in log
    assert "files stored in the volume at /results" in log
    assert run.outcome.stored == "the volume at /results"
    assert _schedule("list", "--check") == 0
    assert "suspended" in capsys.readouterr().out
    assert _schedule("delete", "short") == 0
    left = capsys.readouterr().out
    assert "left persistentvolumeclaim/resilience-short-results with the reports" in left
    assert _schedule("delete", "short", "--results") == 0
    print(log)
    assert api.list(VOLUME_CLAIMS, SYSTEM_NAMESPACE, f"{SCHEDULE_LABEL}=short").items == []


def test_halted_run_undoes_its_fault(api: KubeApi, project: Path) -> None:
    _long(project)
    _apply("halted", NEVER)
    assert _schedule("run-now", "halted") == 0
    try:
        _await("the fault", lambda: _in_fault(api, "halted"))
        assert main(["halt", "--reason", "selftest", *CLUSTER]) == 0
        run = _ended(api, "halted")
        assert not run.succeeded
        assert run.outcome is not None
        assert (run.outcome.state, run.outcome.left) == ("INCONCLUSIVE", [])
        _await("the namespaces to go", lambda: not _experiments(api))
    finally:
        assert main(["halt", "--clear", *CLUSTER]) == 0
    assert _schedule("list", "--check") == 1
    assert _schedule("delete", "halted", "--results") == 0


def _stored(api: KubeApi, name: str) -> str:
    """The state of the game day on the volume."""
    # The image may have no shell and no cat.
    program = f"print(open('{RESULTS}/gamedays/friday.json').read())"
    with suppress(ApiError):
        return api.exec(SYSTEM_NAMESPACE, _pod(api, name), ["python", "-c", program], CONTAINER).stdout
    return ""


def test_next_run_continues_the_day_of_a_killed_pod(
    api: KubeApi, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(project, "first")
    # Long enough to find the fault and the stored state on a busy machine.
    _long(project, "90s")
    _apply("killed", NEVER, _day(project, "first", "long"))
    assert _schedule("run-now", "killed") == 0
    _await("the fault", lambda: _in_fault(api, "killed"))
    _await("the stored state", lambda: '"current": "long"' in _stored(api, "killed"))
    assert _experiments(api)
    api.delete(PODS, _pod(api, "killed"), SYSTEM_NAMESPACE, grace_seconds=0)
    run = _ended(api, "killed")
    assert run.outcome is None
    capsys.readouterr()
    assert _schedule("list", "--check") == 1
    assert f"{run.job} ended without a result" in capsys.readouterr().out
    _await("the janitor", lambda: not _experiments(api))
    # The Lease of the dead run does not block the next one.
    assert _schedule("run-now", "killed") == 0
    following = _ended(api, "killed", 2)
    capsys.readouterr()
    assert _schedule("logs", "killed") == 0
    log = capsys.readouterr().out
    print(log)
    assert following.outcome is not None
    assert (following.outcome.state, following.outcome.left) == ("HELD", [])
    assert "continues the game day of run" in log
    assert "long: HELD" in log
    assert "first: HELD" not in log
    assert _schedule("fetch", "killed", "--to", str(project / "reports")) == 0
    before, after = sorted(path for path in (project / "reports").iterdir() if path.is_dir())
    day = load(after).game_day
    assert day is not None
    assert [(turn.name, turn.verdict, turn.run) for turn in day.turns] == [
        ("first", Verdict.HELD, before.name),
        ("long", Verdict.HELD, after.name),
    ]
    assert (day.verdict, day.runs, bool(day.finished)) == (Verdict.HELD, [before.name, after.name], True)
    assert _schedule("delete", "killed", "--results") == 0


def test_bucket_has_the_reports_of_a_day_with_load(cluster: LocalCluster, project: Path, tmp_path: Path) -> None:
    client = servers.start_s3(cluster, tmp_path / "image", _silent)
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys}
    cluster.api.apply(secret, SYSTEM_NAMESPACE)
    _write(project, "first")
    # The server has a Service of type ClusterIP too, so that the load must come from the pod of the run.
    load = {"namespace": servers.NAMESPACE, "target": "service/s3:http", "rate": "5/s"}
    options = ["--s3-endpoint", servers.S3_URL, "--bucket", servers.BUCKET, "--bucket-secret", "keys"]
    _apply("bucket", NEVER, _day(project, "first", load=load), *options)
    assert _schedule("run-now", "bucket") == 0
    run = _ended(cluster.api, "bucket")
    assert run.outcome is not None
    assert (run.outcome.state, run.outcome.stored) == ("HELD", f"bucket {servers.BUCKET} at {servers.S3_URL}")
    found = [*client.list_objects(servers.BUCKET, recursive=True)]
    for each in found:
        print(f"{each.object_name} {each.size}")
    names = {str(each.object_name) for each in found if each.size}
    report = {f"bucket/{run.outcome.run}/{name}" for name in ("results.json", "index.html", "summary.md")}
    assert names >= {*report, "bucket/gamedays/friday.json"}
    with closing(client.get_object(servers.BUCKET, f"bucket/{run.outcome.run}/results.json")) as answer:
        record = RunRecord.model_validate_json(answer.read())
    assert [(each.name, each.verdict) for each in record.experiments] == [("first", Verdict.HELD)]
    assert record.game_day is not None
    (background,) = record.game_day.background
    assert background.failure == ""
    assert background.load.achieved
    assert _schedule("delete", "bucket") == 0


def test_experiments_come_from_a_git_repository(
    cluster: LocalCluster, project: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(project, "first")
    servers.start_git(cluster, project, tmp_path_factory.mktemp("image"), _silent)
    # Not committed, so the pod must not have it.
    _write(project, "second")
    _apply("git", NEVER, "experiments", "--git", servers.GIT_URL, "--git-image", servers.GIT_IMAGE)
    assert cluster.api.list(CONFIG_MAPS, SYSTEM_NAMESPACE, f"{SCHEDULE_LABEL}=git").items == []
    assert _schedule("run-now", "git") == 0
    run = _ended(cluster.api, "git")
    capsys.readouterr()
    assert _schedule("logs", "git") == 0
    log = capsys.readouterr().out
    assert run.outcome is not None, log
    assert run.outcome.state == "HELD", log
    assert "first: HELD" in log
    assert "second: " not in log
    assert _schedule("delete", "git", "--results") == 0
