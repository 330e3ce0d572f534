"""A run that was killed leaves nothing behind that a sweep does not take back, and no live run is touched.

One place for each kind of fault; for every place there is see ``test_kill_matrix.py``. ``-m kill_matrix`` adds what
takes longer than a minute.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from harness.cluster.kube.resources import NAMESPACES, PODS
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError
from harness.common.naming import RUN_LABEL
from harness.common.waiting import wait_until
from harness.safety.cleanup.janitor import USER, manifests
from tests.live.killed import CLOCK, FAULTS, Traces, Victim, stopped_processes, sweep

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
NAME = "selftest-sweep"
RUN_SECONDS = 180
JANITOR = manifests("none", "0 0 1 1 *")


def _silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """One of its own: a session with experiments that hit whole nodes has the session's cluster to itself."""
    with locked(f"{NAME}-tests", _silent, "another run of these tests"):
        made = commands.up(NAME, 1, _silent)
        with closing(made):
            yield made
        commands.down(NAME, _silent)


@pytest.fixture
def untouched(cluster: Cluster) -> Iterator[Traces]:
    """What there is before; it must be the same after."""
    # Of an earlier run of these tests that was stopped halfway.
    _take_away_all(cluster)
    before = Traces.of(cluster.api)
    yield before
    assert before.left_by(Traces.of(cluster.api)) == []


def _take_away_all(cluster: Cluster) -> None:
    """What dead runs and these tests have left."""
    sweep(cluster, Path("none"))
    for item in reversed(JANITOR):
        if item["kind"] != "Namespace":
            resource = cluster.api.discover(item["apiVersion"], item["kind"])
            with suppress(ApiError):
                cluster.api.delete(resource, item["metadata"]["name"], item["metadata"].get("namespace"))


def _killed(victim: Victim, place: str, **options: float) -> str:
    """Let a run kill itself; returns what it printed."""
    process = victim.start(place, **options)
    try:
        said, _ = process.communicate(timeout=RUN_SECONDS)
    finally:
        process.kill()
    assert process.returncode in {-signal.SIGKILL, 0, 1}, said
    return said


def _namespaces(cluster: Cluster, name: str) -> list[str]:
    found = [item["metadata"]["name"] for item in cluster.api.list(NAMESPACES, None, RUN_LABEL).items]
    return [each for each in found if each.startswith(f"rh-{name}-")]


def test_run_killed_during_each_kind_of_fault_is_swept(cluster: Cluster, untouched: Traces, tmp_path: Path) -> None:
    victims = [Victim(tmp_path / kind, cluster, f"killed-{kind.lower()}", kind) for kind in FAULTS]
    with ExitStack() as running:
        started = [running.enter_context(victim.start("phase fault:1:end")) for victim in victims]
        said = [process.communicate(timeout=RUN_SECONDS)[0] for process in started]
    assert [process.returncode for process in started] == [-signal.SIGKILL] * len(victims), said
    left = untouched.left_by(Traces.of(cluster.api))
    for victim in victims:
        assert any(f"storageclasses/{victim.name}" in line for line in left)
        assert any(f"configmaps/undo-rh-{victim.name}" in line for line in left)
    hung = stopped_processes(cluster.api, _namespaces(cluster, "killed-processhang"))
    assert len(hung) == 1
    # As the janitor may, and no more: what it is not allowed would fail here.
    shown = sweep(cluster, Path("none"), "--dry-run")
    assert shown.returncode == 3, shown.stdout
    done = sweep(cluster, Path("none"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("is dead, leftovers in") == len(victims)
    assert "no leftovers of dead runs" in sweep(cluster, Path("none")).stdout


@pytest.mark.kill_matrix
def test_hung_process_resumes_when_no_undo_is_left(cluster: Cluster, untouched: Traces, tmp_path: Path) -> None:
    victim = Victim(tmp_path, cluster, "overdue", "processHang")
    _killed(victim, "phase fault:1:end", ttl=8.0)
    (namespace,) = _namespaces(cluster, "overdue")
    (pod,) = stopped_processes(cluster.api, [namespace])
    uid = cluster.api.get(PODS, pod, namespace)["metadata"]["uid"]

    def look() -> tuple[bool | None, str]:
        return (None if stopped_processes(cluster.api, [namespace]) else True), "it is still stopped"

    wait_until("the process to go on by itself", look, 30.0, CLOCK, every=1.0)
    found = cluster.api.get(PODS, pod, namespace)
    assert found["metadata"]["uid"] == uid
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0
    assert sweep(cluster, tmp_path / "reports").returncode == 0


def test_live_run_is_skipped_and_ends_when_its_lease_is_forced(
    cluster: Cluster, untouched: Traces, tmp_path: Path
) -> None:
    victim = Victim(tmp_path, cluster, "alive", "scale")
    victim.prepare()
    file = tmp_path / "experiments" / "alive.yaml"
    # Longer than two sweeps ever take: it is to be ended by force, not by itself.
    text = file.read_text().replace("fault: 300ms", "fault: 30m")

    class Long(Victim):
        def prepare(self) -> None:
            file.write_text(text)

    with Long(tmp_path, cluster, "alive", "scale").start("none") as process:
        try:
            _wait_for_line(process, "fault 1800 s")
            (run,) = [path.name for path in (tmp_path / "reports").iterdir()]
            beside = sweep(cluster, Path("none"))
            assert f"{run} is alive, skipped" in beside.stdout
            assert process.poll() is None
            forced = sweep(cluster, Path("none"), "--run", run, "--force")
            assert forced.returncode == 0, forced.stdout + forced.stderr
            rest, _ = process.communicate(timeout=RUN_SECONDS)
        finally:
            process.kill()
    assert "its effects are being undone, so no more faults will be injected" in " ".join(rest.split())
    (record,) = json.loads((tmp_path / "reports" / run / "results.json").read_text())["experiments"]
    assert record["verdict"] == "INCONCLUSIVE"


@pytest.mark.kill_matrix
def test_the_janitor_s_permissions_are_enough_and_no_more(cluster: Cluster, untouched: Traces, tmp_path: Path) -> None:
    """What it may not do, deleting storage classes, it says; everything else is taken back."""
    for item in JANITOR:
        cluster.api.apply(item)
    try:
        _killed(Victim(tmp_path / "a", cluster, "janitor-hang", "processHang"), "phase fault:1:end")
        _killed(Victim(tmp_path / "b", cluster, "janitor-scale", "scale"), "phase fault:1:end")
        done = sweep(cluster, Path("none"), "--cluster-as", USER)
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if "remove" in line]
        assert len(lines) == 2
        assert all("remove storageclass/janitor-" in line and "403 Forbidden" in line for line in lines), done.stderr
        assert _namespaces(cluster, "janitor") == []
    finally:
        _take_away_all(cluster)


def _wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"the run ended before it said {text!r}")
