"""Why a container is not running, as its status words it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.containers import MAX_MESSAGE, why_ended, why_waiting

START_ERROR = {
    "exitCode": 128,
    "reason": "StartError",
    "message": 'failed to create containerd task:\n exec: "--port=9898": executable file not found in $PATH',
}
CRASH_LOOP = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=web"}


def test_a_crash_loop_shows_what_ended_the_container() -> None:
    status = {"state": {"waiting": CRASH_LOOP}, "lastState": {"terminated": START_ERROR}}
    shown = why_waiting(status)
    assert shown.startswith("CrashLoopBackOff back-off 10s")
    assert 'exit code 128, StartError: failed to create containerd task: exec: "--port=9898"' in shown


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({}, ""),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, ""),
        ({"state": {"waiting": {"reason": "PodInitializing"}}, "lastState": {}}, ""),
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": None}}}, "ErrImagePull"),
    ],
)
def test_a_container_that_is_starting_has_no_trouble(status: dict[str, Any], shown: str) -> None:
    assert why_waiting(status) == shown


@pytest.mark.parametrize(
    ("ended", "shown"),
    [
        ({"exitCode": 0, "reason": "Completed"}, ""),
        ({"exitCode": 1, "reason": "Error"}, "exit code 1"),
        ({"exitCode": 137, "reason": "OOMKilled"}, "exit code 137, OOMKilled"),
        ({"exitCode": 2, "message": "m" * 500}, f"exit code 2, {'m' * (MAX_MESSAGE - 1)}…"),
    ],
)
def test_container_end_is_described(ended: dict[str, Any], shown: str) -> None:
    assert why_ended({"state": {"terminated": ended}}) == shown
    assert why_ended({"state": {"running": {}}, "lastState": {"terminated": ended}}) == shown
