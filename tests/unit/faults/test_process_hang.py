"""Hanging processes: against a fake /proc, and the script itself in a real shell."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError, Inconclusive
from harness.common.waiting import wait_until
from harness.faults.base import FaultContext
from harness.faults.process_hang import ARM_SCRIPT, DISARM_SCRIPT, SIGNAL_SCRIPT, WAIT_SCRIPT, ProcessHang
from harness.model.timeline import Victim
from tests.fake_world import NAMESPACE, World


def _fault(**fields: Any) -> ProcessHang:
    return ProcessHang(**{"selector": "app=podinfo", "process": "podinfo", **fields})


def _inject(world: World, **fields: Any) -> tuple[FaultContext, tuple[Victim, ...]]:
    context, fault = world.context(), _fault(**fields)
    victims = fault.choose(context)
    fault.inject(context, victims)
    return context, victims


def _undo(world: World, context: FaultContext) -> list[str]:
    return [ProcessHang.undo(world.cluster, entry.parameters) for entry in context.journal.entries]


def test_every_victim_s_process_is_stopped_and_continued(world: World) -> None:
    context, victims = _inject(world, count="all")
    assert world.processes.stopped == set(world.pods())
    assert "PID 7 is in state T" in _fault().evidence(context, victims).text
    assert all(said.endswith("runs") for said in _undo(world, context))
    assert world.processes.stopped == set()


def test_each_victim_has_a_separate_undo(world: World) -> None:
    context, victims = _inject(world, count="all")
    assert [entry.parameters["pod"] for entry in context.journal.entries] == [victim.name for victim in victims]


def test_pid_1_cannot_be_stopped_and_the_remedy_is_named(world: World) -> None:
    world.processes.pid = 1
    with pytest.raises(Inconclusive, match="shareProcessNamespace: true"):
        _fault().choose(world.context())


def test_process_that_became_pid_1_is_no_evidence_with_remedy(world: World) -> None:
    context, fault = world.context(), _fault()
    victims = fault.choose(context)
    world.processes.pid = 1
    fault.inject(context, victims)
    evidence = fault.evidence(context, victims)
    assert not evidence.proven
    assert "shareProcessNamespace: true" in evidence.text


def test_missing_process_is_inconclusive(world: World) -> None:
    with pytest.raises(Inconclusive, match="no process nginx in container podinfo of pod podinfo-"):
        _fault(process="nginx").choose(world.context())


def test_image_without_a_shell_is_a_clear_error(world: World) -> None:
    world.processes.shell = False
    with pytest.raises(HarnessError, match="sh: not found"):
        _fault().choose(world.context())


def test_a_signal_that_is_not_permitted_is_inconclusive(world: World) -> None:
    world.processes.permitted = False
    with pytest.raises(Inconclusive, match=r"could not be stopped: .*Operation not permitted"):
        _inject(world)


def test_names_are_cut_as_the_kernel_cuts_them(world: World) -> None:
    world.processes.name = "a-very-long-nam"
    world_context = world.context()
    assert _fault(process="a-very-long-name-indeed").choose(world_context)


def test_a_process_that_runs_on_is_no_proof(world: World) -> None:
    context, victims = _inject(world, count=2)
    world.processes.stopped.discard(victims[1].name)
    evidence = _fault().evidence(context, victims)
    assert not evidence.proven
    assert "state S" in evidence.text


def test_deleted_pod_is_no_evidence_and_needs_no_undo(world: World) -> None:
    context, victims = _inject(world)
    world.api.delete(PODS, victims[0].name, NAMESPACE)
    assert not _fault().evidence(context, victims).proven
    assert "gone, and the process with it" in _undo(world, context)[0]


def test_a_restart_took_the_stopped_process_with_it(world: World) -> None:
    context, victims = _inject(world)
    world.restart_container(victims[0].name)
    assert _undo(world, context) == [f"process podinfo of pod {victims[0].name} runs"]


def test_a_container_that_ended_took_the_stopped_process_with_it(world: World) -> None:
    context, victims = _inject(world)
    world.processes.shell = False
    world.restart_container(victims[0].name, waiting="CrashLoopBackOff")
    assert _undo(world, context) == [f"the container of pod {victims[0].name} ended, and the process with it"]


def test_unreachable_running_container_is_a_failed_undo(world: World) -> None:
    context, _ = _inject(world)
    world.processes.shell = False
    with pytest.raises(HarnessError, match="cannot be read"):
        _undo(world, context)


def test_a_process_that_stays_stopped_is_a_failed_undo(world: World) -> None:
    context, victims = _inject(world)
    original = world.containers

    def stuck(namespace: str, pod: str, container: str | None, command: Any) -> Any:
        result = original(namespace, pod, container, command)
        world.processes.stopped.add(pod)
        return result

    world.cluster.server.exec = stuck
    with pytest.raises(HarnessError, match=f"of pod {victims[0].name} is still stopped"):
        _undo(world, context)


def test_slowly_resuming_process_is_checked_again(world: World) -> None:
    context, _ = _inject(world)
    original, slow = world.containers, [True] * 6

    def reluctant(namespace: str, pod: str, container: str | None, command: Any) -> Any:
        before = set(world.processes.stopped)
        result = original(namespace, pod, container, command)
        if slow:
            slow.pop()
            world.processes.stopped |= before
        return result

    world.cluster.server.exec = reluctant
    context.journal.undo_all({"processHang": ProcessHang.undo})
    assert not slow
    assert world.processes.stopped == set()


def test_shell_that_cannot_start_briefly_is_retried(world: World) -> None:
    context, _ = _inject(world)
    original, failing = world.containers, [True] * 3

    def starved(namespace: str, pod: str, container: str | None, command: Any) -> Any:
        if failing:
            failing.pop()
            return ExecResult("", "sh: can't fork", 2)
        return original(namespace, pod, container, command)

    world.cluster.server.exec = starved
    context.journal.undo_all({"processHang": ProcessHang.undo})
    assert world.processes.stopped == set()


def test_every_pod_has_a_resume_timer_until_the_undo(world: World) -> None:
    context, _ = _inject(world, count="all")
    assert world.processes.armed == set(world.pods())
    _undo(world, context)
    assert world.processes.armed == set()


def test_no_process_is_stopped_without_a_resume_timer(world: World) -> None:
    world.processes.sleeps = False
    with pytest.raises(Inconclusive, match="nothing would continue it if the harness were gone: there is no sl"):
        _inject(world)
    assert world.processes.stopped == set()


# The script in a real shell, with real processes.

SHELLS = [shell for shell in (["sh"], ["busybox", "sh"], ["dash"], ["bash"]) if shutil.which(shell[0])]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A sleeping process with a space in its name, which no other test on this machine has at the same time."""
    program = tmp_path / f"rh t) {os.getpid():x}"
    program.symlink_to(sys.executable)
    process = subprocess.Popen(
        [str(program), "-c", "import sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.read(1)
    # It has written and not yet begun to read.
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        os.sched_yield()
    yield process
    process.send_signal(signal.SIGCONT)
    process.communicate()


def _run(shell: list[str], name: str, sent: str = "") -> str:
    command = [*shell, "-c", SIGNAL_SCRIPT, "sh", name, sent]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_the_script_reads_and_signals_processes_by_name(shell: list[str], sleeper: subprocess.Popen[bytes]) -> None:
    name = Path(f"/proc/{sleeper.pid}/comm").read_text().rstrip("\n")
    assert _run(shell, name).split() == [str(sleeper.pid), "S"]
    _run(shell, name, "STOP")
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
    assert _run(shell, name).split() == [str(sleeper.pid), "T"]
    _run(shell, name, "CONT")
    os.waitid(os.P_PID, sleeper.pid, os.WCONTINUED)
    assert _run(shell, name).split()[1] in "SR"


@pytest.fixture
def waiting() -> Iterator[list[int]]:
    """The PIDs of what ``arm`` leaves; ended at the end."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _arm(shell: list[str], name: str, seconds: str) -> int:
    # The shells inside are named by the script; in a container there is only one kind.
    arm, wait = (text.replace('sh -c "$', f'{shlex.join(shell)} -c "$') for text in (ARM_SCRIPT, WAIT_SCRIPT))
    command = [*shell, "-c", arm, "sh", seconds, SIGNAL_SCRIPT, name, wait]
    # Returns at once: what it leaves holds none of its streams.
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.endswith(" waits\n")
    return int(said.split()[0])


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_stopped_process_is_resumed_by_its_timer(
    shell: list[str], sleeper: subprocess.Popen[bytes], waiting: list[int]
) -> None:
    name = Path(f"/proc/{sleeper.pid}/comm").read_text().rstrip("\n")
    waiting.append(_arm(shell, name, "0.5"))
    _run(shell, name, "STOP")
    os.waitid(os.P_PID, sleeper.pid, os.WSTOPPED)
    os.waitid(os.P_PID, sleeper.pid, os.WCONTINUED)
    assert _run(shell, name).split()[1] in "SR"


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize("name", ["sleep", "sh", "dash", "bash", "busybox"])
def test_resume_timer_is_never_its_own_victim(shell: list[str], name: str, waiting: list[int]) -> None:
    pid = _arm(shell, "no-such-process", "60")
    waiting.append(pid)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert not {str(pid), *children} & set(_run(shell, name).split()[::2])


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_disarming_ends_the_timer_and_its_sleep(shell: list[str], waiting: list[int]) -> None:
    pid = _arm(shell, "no-such-process", "60")
    waiting.append(pid)
    wait_until("it to sleep", lambda: (_children(pid) or None, "no child"), 60.0, SystemClock())
    sleep = _children(pid)
    # In a container it is alone; here it must not end what other tests have left.
    own = DISARM_SCRIPT.replace("/proc/[0-9]*", f"/proc/{pid}")
    subprocess.run([*shell, "-c", own], check=True)
    gone = lambda: (all(_state(each) in {"Z", ""} for each in (pid, *sleep)) or None, "it is there")  # noqa: E731
    wait_until("it to end", gone, 30.0, SystemClock())


def test_timer_that_ends_at_once_leaves_no_sleep() -> None:
    """A shell that has just forked has not become sleep yet, and loses a SIGTERM."""
    for _ in range(20):
        timer = subprocess.Popen(["sh", "-c", WAIT_SCRIPT, "sh", "60", SIGNAL_SCRIPT, "no-such-process"])
        wait_until("a child", lambda pid=timer.pid: (_children(pid) or None, "none"), 60.0, SystemClock(), every=0.0)
        (sleep,) = _children(timer.pid)
        timer.terminate()
        timer.wait()
        gone = lambda pid=sleep: (_state(pid) in {"Z", ""} or None, f"{pid} is there")  # noqa: E731
        wait_until("its sleep to end", gone, 30.0, SystemClock())


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_script_finds_no_missing_process(shell: list[str]) -> None:
    assert not _run(shell, "no-such-process")


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_script_skips_its_own_shell(shell: list[str]) -> None:
    """It would hang for ever otherwise; and no other shell of this machine may be touched by a test."""
    pids = subprocess.run(
        [*shell, "-c", f"echo $$; {SIGNAL_SCRIPT}", "sh", shell[0], ""], capture_output=True, text=True, check=True
    ).stdout.split()
    assert pids[0] not in pids[1::2]
