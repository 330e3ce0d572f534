"""A process that measures ends with everything that it has started."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from pathlib import Path

import pytest

from harness.traffic.process import Child

STARTS_ANOTHER = "sleep 60 & echo $! > other; read -r line"


def other(folder: Path) -> int:
    """The number of the process that the child has started."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError, ValueError):
            return int((folder / "other").read_text())
        time.sleep(0.01)
    pytest.fail("the child has started nothing")


def ends(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # Readable when the process has ended.
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


def test_end_reaches_what_the_process_has_started(tmp_path: Path) -> None:
    child = Child.start("the child", ["sh", "-c", STARTS_ANOTHER], tmp_path / "output")
    pid = other(tmp_path)
    child.end(5)
    assert child.exit_code() is not None
    assert ends(pid)


def test_early_exit_leaves_nothing(tmp_path: Path) -> None:
    child = Child.start("the child", ["sh", "-c", STARTS_ANOTHER], tmp_path / "output")
    pid = other(tmp_path)
    child.progress(b"go\n")
    deadline = time.monotonic() + 10
    while child.exit_code() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ends(pid)
    child.end(5)
