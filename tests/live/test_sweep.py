"""Killed at any step, a run leaves nothing behind that a sweep does not take back, and no live run is touched.

``pytest --cluster=local tests/live/test_sweep.py -m kill_matrix`` kills hundreds of runs: at every line of a journal,
every changing request, every command in a container, every end of a phase, and at random instants.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.cluster.protocol import Cluster
from harness.cluster.resources import NAMESPACES, PODS
from harness.janitor import USER, manifests
from harness.naming import RUN_LABEL
from harness.waiting import wait_until
from tests.live.killed import FAULTS, Traces, Victim, stopped_processes, sweep

pytestmark = pytest.mark.live

CLOCK = SystemClock()
AT_A_TIME = 4
KILLS_A_SWEEP = 24
RUN_SECONDS = 180
RANDOM_KILLS = 40
# The last instant, in seconds after the experiment began, at which a run of these is still at work.
LONGEST = 14.0

Start = Callable[[str, str], Victim]


@pytest.fixture
def untouched(cluster: Cluster) -> Iterator[Traces]:
    """What there is before; it must be the same after."""
    before = Traces.of(cluster.api)
    yield before
    assert before.left_by(Traces.of(cluster.api)) == []


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


def test_a_run_of_each_kind_of_fault_is_killed_while_it_is_in_effect_and_swept(
    cluster: Cluster, untouched: Traces, tmp_path: Path
) -> None:
    victims = [Victim(tmp_path / kind, cluster, f"killed-{kind.lower()}", kind) for kind in FAULTS]
    with ExitStack() as running:
        started = [running.enter_context(victim.start("phase:fault:end")) for victim in victims]
        said = [process.communicate(timeout=RUN_SECONDS)[0] for process in started]
    assert [process.returncode for process in started] == [-signal.SIGKILL] * len(victims), said
    left = untouched.left_by(Traces.of(cluster.api))
    for victim in victims:
        assert any(f"clusterroles/{victim.name}" in line for line in left)
        assert any(f"configmaps/undo-rh-{victim.name}" in line for line in left)
    hung = stopped_processes(cluster.api, _namespaces(cluster, "killed-processhang"))
    assert len(hung) == 1
    # As the janitor may, and no more: what it is not allowed would fail here.
    shown = sweep(cluster, Path("none"), "--dry-run")
    assert shown.returncode == 3, shown.stdout
    done = sweep(cluster, Path("none"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("is dead and has left") == len(victims)
    assert "nothing of a dead run is left" in sweep(cluster, Path("none")).stdout


def test_a_hung_process_goes_on_by_itself_when_nobody_is_left_to_undo_it(
    cluster: Cluster, untouched: Traces, tmp_path: Path
) -> None:
    victim = Victim(tmp_path, cluster, "overdue", "processHang")
    _killed(victim, "phase:fault:end", ttl=8.0)
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


def test_a_live_run_is_left_alone_and_ends_when_its_lease_is_taken_by_force(
    cluster: Cluster, untouched: Traces, tmp_path: Path
) -> None:
    victim = Victim(tmp_path, cluster, "alive", "scale")
    victim.prepare()
    file = tmp_path / "experiments" / "alive.yaml"
    text = file.read_text().replace("fault: 300ms", "fault: 90s")

    class Long(Victim):
        def prepare(self) -> None:
            file.write_text(text)

    with Long(tmp_path, cluster, "alive", "scale").start("none") as process:
        try:
            _wait_for_line(process, "fault 90 s")
            (run,) = [path.name for path in (tmp_path / "reports").iterdir()]
            beside = sweep(cluster, Path("none"))
            assert f"{run} is alive: left alone" in beside.stdout
            assert process.poll() is None
            forced = sweep(cluster, Path("none"), "--run", run, "--force")
            assert forced.returncode == 0, forced.stdout + forced.stderr
            rest, _ = process.communicate(timeout=RUN_SECONDS)
        finally:
            process.kill()
    assert "what it did is being taken back, so it breaks no more" in " ".join(rest.split())
    (record,) = json.loads((tmp_path / "reports" / run / "results.json").read_text())["experiments"]
    assert record["verdict"] == "INCONCLUSIVE"


def test_the_janitor_s_permissions_are_enough_and_no_more(cluster: Cluster, untouched: Traces, tmp_path: Path) -> None:
    """What it may not do, deleting cluster roles, it says; everything else is taken back."""
    applied = manifests("none", "0 0 1 1 *")
    for item in applied:
        cluster.api.apply(item)
    try:
        _killed(Victim(tmp_path / "a", cluster, "janitor-hang", "processHang"), "phase:fault:end")
        _killed(Victim(tmp_path / "b", cluster, "janitor-scale", "scale"), "phase:fault:end")
        done = sweep(cluster, Path("none"), "--as", USER)
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if "remove" in line]
        assert len(lines) == 2
        assert all("remove clusterrole/janitor-" in line and "403 Forbidden" in line for line in lines), done.stderr
        assert _namespaces(cluster, "janitor") == []
    finally:
        sweep(cluster, Path("none"))
        for item in reversed(applied):
            if item["kind"] != "Namespace":
                resource = cluster.api.discover(item["apiVersion"], item["kind"])
                cluster.api.delete(resource, item["metadata"]["name"], item["metadata"].get("namespace"))


@pytest.mark.kill_matrix
def test_killed_at_every_step(
    cluster: Cluster, untouched: Traces, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "kill_matrix" not in str(request.config.option.markexpr):
        pytest.skip("kills hundreds of runs: -m kill_matrix")
    kills = _matrix(cluster, tmp_path, float(os.environ.get("KILL_SHARE", "1")))
    survived: list[str] = []
    for number, group in enumerate(_groups(kills, KILLS_A_SWEEP)):
        for few in _groups(group, AT_A_TIME):
            survived += _kill_together(cluster, tmp_path, few)
        done = sweep(cluster, Path("none"))
        assert done.returncode == 0, f"{group}: {done.stdout}{done.stderr}"
        left = untouched.left_by(Traces.of(cluster.api))
        assert left == [], f"after {group}"
        print(f"{min(len(kills), (number + 1) * KILLS_A_SWEEP)} of {len(kills)} runs killed, nothing left", flush=True)
    # A run that ended before its place came, in order, says nothing; it must not be the rule.
    print(f"{len(kills) - len(survived)} killed, {len(survived)} had ended: {survived}")
    assert len(survived) < 0.2 * len(kills)


def _matrix(cluster: Cluster, folder: Path, share: float) -> list[tuple[str, str]]:
    """Every place that a run of each kind passes, and random instants: (kind, place), shuffled."""
    rng = random.Random(1)
    kills: list[tuple[str, str]] = []
    for kind in FAULTS:
        log = folder / f"{kind}.log"
        with Victim(folder / kind, cluster, f"matrix-{kind.lower()}", kind).start("none", log) as process:
            said, _ = process.communicate(timeout=RUN_SECONDS)
        assert log.exists(), said
        kills += [(kind, place) for place in log.read_text().split()]
        kills += [(kind, f"after:{rng.uniform(0, LONGEST):.2f}") for _ in range(RANDOM_KILLS // len(FAULTS))]
    rng.shuffle(kills)
    return kills[: max(1, round(share * len(kills)))]


def _groups(kills: Sequence[tuple[str, str]], size: int) -> list[Sequence[tuple[str, str]]]:
    return [kills[start : start + size] for start in range(0, len(kills), size)]


def _kill_together(cluster: Cluster, folder: Path, kills: Sequence[tuple[str, str]]) -> list[str]:
    """Run at the same time and let each kill itself; returns those that had ended before."""
    with ExitStack() as running:
        started = []
        for number, (kind, place) in enumerate(kills):
            victim = Victim(folder / f"{kind}-{number}", cluster, f"m{number}-{kind.lower()}", kind)
            started.append((place, running.enter_context(victim.start(place))))
        for _, process in started:
            process.communicate(timeout=RUN_SECONDS)
    return [place for place, process in started if process.returncode != -signal.SIGKILL]


def _wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"the run ended before it said {text!r}")
