"""The agent beside a load process: every request may be repeated, and none makes it fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.traffic.load.remote.agent import Agent, kernel
from tests.unit.traffic.load.remote.fake_process import FakeProcess, settings

START = {"do": "start", "settings": settings().model_dump(mode="json"), "environ": {"TOKEN": "secret"}}


def made(folder: Path, files: dict[str, str] | None = None) -> tuple[Agent, FakeProcess]:
    process = FakeProcess()
    agent = Agent(folder, process.start, now=lambda: 7.5)
    name = settings().behaviour_file.name
    assert agent.answer({**START, "files": {name: "source", **(files or {})}}) == ({}, b"")
    return agent, process


def test_process_starts_once_with_files_and_environment(tmp_path: Path) -> None:
    agent, process = made(tmp_path, {"../../escape.py": "no"})
    assert agent.answer({**START, "files": {}}) == ({}, b"")
    assert process.settings is not None
    assert process.settings.behaviour_file.read_text() == "source"
    assert process.environ["TOKEN"] == "secret"
    # Not in the working folder, where the name of a behaviour could hide a module of the standard library.
    assert process.settings.behaviour_file.parent != process.folder
    assert sorted(path.name for path in tmp_path.rglob("escape.py")) == ["escape.py"]
    assert not (tmp_path.parent / "escape.py").exists()
    assert "secret" not in "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())


def test_records_are_read_by_offset_and_end_with_the_process(tmp_path: Path) -> None:
    agent, process = made(tmp_path)
    agent.records.write_bytes(b"abcdef")
    assert agent.answer({"do": "read", "from": 2}) == ({"exit": None}, b"cdef")
    process.code = 0
    assert agent.answer({"do": "read", "from": 6}) == ({"exit": 0}, b"")
    agent.records.write_bytes(b"x" * 600_000)
    header, data = agent.answer({"do": "read", "from": 0})
    # The end is not announced before all of the file has been sent.
    assert (header, len(data)) == ({"exit": None}, 512 * 1024)
    assert agent.answer({"do": "read", "from": len(data)})[0] == {"exit": 0}
    assert agent.answer({"do": "check"})[0]["total"] == 600_000


def test_repeated_command_reaches_the_process_once(tmp_path: Path) -> None:
    agent, process = made(tmp_path)
    for number, line in ((1, "a"), (1, "a"), (2, "b"), (1, "a")):
        assert agent.answer({"do": "command", "number": number, "line": line}) == ({}, b"")
    assert process.lines == [b"a", b"b"]


def test_clock_and_output_are_reported(tmp_path: Path) -> None:
    agent, _ = made(tmp_path)
    assert agent.answer({"do": "clock"})[0] == {"monotonic": 7.5, **kernel()}
    assert agent.answer({"do": "output"})[1].endswith(b"last words\n")


@pytest.mark.parametrize(
    "request_", [{}, {"do": "dance"}, {"do": "read"}, {"do": "read", "from": "x"}, {"do": "start"}, {"do": "command"}]
)
def test_bad_request_is_an_error_and_no_crash(tmp_path: Path, request_: dict[str, Any]) -> None:
    header, data = Agent(tmp_path, FakeProcess().start).answer(request_)
    assert set(header) == {"error"}
    assert data == b""


def test_leaving_and_stopping_end_the_process(tmp_path: Path) -> None:
    agent, process = made(tmp_path)
    agent.answer({"do": "leave"})
    assert agent.left.is_set()
    assert agent.answer({"do": "read", "from": 0})[0] == {"exit": None}
    agent.stop()
    assert process.code == -15
    # Not an end of the process by itself: the pod is being deleted.
    assert agent.answer({"do": "read", "from": 0})[0] == {"exit": None}
