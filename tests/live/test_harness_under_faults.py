"""Faults of the harness's own surroundings, for real: an API server that restarts or answers late, a lost Prometheus.

Whatever happens, the run ends by itself with its record, its effect is taken back and nothing is left; what could not
be seen comes out INCONCLUSIVE with the reason and never BROKEN or, unseen, HELD. The runs' cluster is their own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.local import cgroups, commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.control_plane import API_SERVER
from harness.cluster.local.locks import locked
from harness.cluster.local.node_machine import NodeMachine
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.state import ClusterState
from harness.common.clock import SystemClock
from harness.common.waiting import wait_until
from harness.prometheus.discovery import prometheus_for
from tests.live import short_experiment
from tests.live.killed import Traces

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
NAME = "selftest-storm"
ROOT = Path(__file__).resolve().parents[2]
# Long enough that every client of it meets it, and shorter than the patience of any.
DOWN = 2.0
STALL, BETWEEN, STALLS = 0.7, 0.3, 10
RUN_SECONDS = 180


def _silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with locked("selftest-storm", _silent, "another run of these tests"):
        try:
            with closing(commands.up(NAME, 1, _silent)) as cluster:
                yield cluster
        finally:
            commands.down(NAME, _silent)


@pytest.fixture(autouse=True)
def nothing_left(cluster: LocalCluster) -> Iterator[None]:
    before = Traces.of(cluster.api)
    yield
    assert before.left_by(Traces.of(cluster.api)) == []


@pytest.fixture
def control_plane(cluster: LocalCluster) -> NodeMachine:
    paths = ClusterPaths.of(cluster.name)
    state = ClusterState.load(paths)
    assert state is not None
    return NodeMachine(state, paths, state.plan.control_plane, SystemClock())


def shrunk(folder: Path) -> Path:
    """An experiment whose effect stays until it is taken back."""
    file = short_experiment.write(folder, without=["prometheus", "latency"])
    body = yaml.safe_load(file.read_text())
    body["faults"] = [{"scale": {"of": "deployment/podinfo", "replicas": 1}}]
    file.write_text(yaml.safe_dump(body))
    return file


@dataclass(frozen=True)
class Outcome:
    """What a run said, and its only record."""

    exit_code: int
    text: str
    record: dict[str, Any]

    @property
    def undone(self) -> list[str]:
        return [undo["state"] for fault in self.record["faults"] for undo in fault["undo"]]

    def finding(self, kind: str) -> dict[str, Any]:
        (found,) = (each for each in self.record["objectives"] if each["kind"] == kind)
        return dict(found)


def run(experiment: Path, acts: Mapping[str, Callable[[], None]]) -> Outcome:
    """Run it, and do something each time that a line of progress with these words comes for the first time."""
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "no:cacheprovider"]
    where = ["--cluster=local", f"--cluster-name={NAME}", "--cluster-nodes=1", f"--report-dir={experiment.parent}"]
    lines: list[str] = []
    done: dict[str, Future[None]] = {}
    with (
        ThreadPoolExecutor() as pool,
        subprocess.Popen(
            [*command, *where, str(experiment)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        assert process.stdout is not None
        watchdog = threading.Timer(RUN_SECONDS, process.kill)
        watchdog.start()
        for line in process.stdout:
            lines.append(line)
            for words in acts.keys() - done.keys():
                if f"{short_experiment.NAME}: {words}" in line:
                    done[words] = pool.submit(acts[words])
        watchdog.cancel()
    text = "".join(lines)
    print(text)
    for act in done.values():
        act.result()
    assert done.keys() == acts.keys(), text
    (results,) = experiment.parent.glob("*/results.json")
    (record,) = json.loads(results.read_text())["experiments"]
    return Outcome(process.returncode, text, record)


def test_api_server_restart_loses_neither_record_nor_undo(control_plane: NodeMachine, tmp_path: Path) -> None:
    def restart() -> None:
        control_plane.end_program(API_SERVER)
        time.sleep(DOWN)
        control_plane.start_program(API_SERVER)

    outcome = run(shrunk(tmp_path), {"scale →": restart})
    assert outcome.record["verdict"] in {"HELD", "INCONCLUSIVE"}, outcome.record["reason"]
    assert outcome.undone == ["done"]


@pytest.mark.parametrize("during", ["deploying", "scale →", "undoing"])
def test_slow_api_loses_neither_record_nor_undo(control_plane: NodeMachine, tmp_path: Path, during: str) -> None:
    outcome = run(shrunk(tmp_path), {during: lambda: stalled(process_named(API_SERVER))})
    assert outcome.record["verdict"] in {"HELD", "INCONCLUSIVE"}, outcome.record["reason"]
    assert outcome.undone == ["done"]


def stalled(pid: int) -> None:
    for _ in range(STALLS):
        with stopped(pid):
            time.sleep(STALL)
        time.sleep(BETWEEN)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        # Its liveness probe may have ended it meanwhile.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def prometheus(cluster: LocalCluster) -> int:
    """The process, of one that answers: a former test's may have been ended by its liveness probe."""

    def look() -> tuple[int | None, str]:
        found = prometheus_for(cluster)
        return (process_named("prometheus") if found else None), "none answers"

    return wait_until("Prometheus", look, RUN_SECONDS, SystemClock())


def process_named(name: str) -> int:
    """The only process of this name in the cluster."""
    (found,) = (pid for pid in cgroups.processes(cgroups.group(NAME)) if _name(pid) == name)
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        # Processes of pods go while it looks.
        return ""


def test_missing_prometheus_affects_only_its_own_objective(prometheus: int, tmp_path: Path) -> None:
    there = threading.Event()

    def hang() -> None:
        with stopped(prometheus):
            there.wait(RUN_SECONDS)

    file = short_experiment.write(tmp_path)
    outcome = run(file, {"fault": hang, "cleaning up": there.set})
    assert outcome.record["verdict"] == "INCONCLUSIVE"
    assert outcome.finding("prometheus")["verdict"] == "INCONCLUSIVE"
    assert {outcome.finding(kind)["verdict"] for kind in ("availability", "recoveryTime")} == {"HELD"}


def test_prometheus_restart_never_gives_held_for_missed_data(prometheus: int, tmp_path: Path) -> None:
    outcome = run(short_experiment.write(tmp_path), {"fault": lambda: os.kill(prometheus, signal.SIGKILL)})
    assert outcome.record["verdict"] == "INCONCLUSIVE"
    assert outcome.finding("prometheus")["verdict"] == "INCONCLUSIVE"
