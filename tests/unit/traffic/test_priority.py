"""The scheduling priority of the measuring processes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.traffic import priority


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[object, ...]]:
    """The calls that change a priority; none of them has an effect on this process."""
    made: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        os, "sched_setscheduler", lambda pid, policy, param: made.append((pid, policy, param.sched_priority))
    )
    monkeypatch.setattr(os, "setpriority", lambda *given: made.append(given))
    monkeypatch.setattr(priority, "AUTOGROUP", tmp_path / "autogroup")
    return made


def test_priority_is_real_time_and_not_inherited(calls: list[tuple[object, ...]]) -> None:
    priority.raise_priority()
    assert calls == [(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, 1)]
    assert not priority.AUTOGROUP.exists()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
def test_niceness_is_lowered_where_real_time_is_refused(
    calls: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*given: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    priority.raise_priority()
    assert calls == [(os.PRIO_PROCESS, 0, -10)]
    assert priority.AUTOGROUP.read_text() == "-10"


def test_a_user_without_rights_keeps_the_priority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*given: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "setpriority", refuse)
    monkeypatch.setattr(priority, "AUTOGROUP", tmp_path / "missing" / "autogroup")
    priority.raise_priority()
