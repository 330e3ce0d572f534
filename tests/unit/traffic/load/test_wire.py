"""What the two processes say to each other, and a reader that loses nothing when a line is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.traffic.load.reader import RecordReader
from harness.traffic.load.wire import EnterPhase, Request, Stop, parse_command, record_line

FIRST = Request(1.0, 1.25, 2.5, "ok", "GET /", "")
SECOND = Request(2.0, 2.25, 4.5, "503", 'odd "name"\n', "key/ü")
ROWS = [(1.0, 1.25, 2.5, True, "ok", "GET /", ""), (2.0, 2.25, 4.5, False, "503", 'odd "name"\n', "key/ü")]


@pytest.mark.parametrize("command", [EnterPhase("fault", 1234.5, 1234.75), Stop(1300.0)])
def test_command_survives_the_round_trip(command: EnterPhase | Stop) -> None:
    assert parse_command(command.line()) == command


@pytest.mark.parametrize(
    "line", [b"", b"stop", b"[]", b'{"stop": true}', b'{"phase": "fault", "at": 1}', b'{"phase": "fault"}']
)
def test_anything_else_is_no_command(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"expect|zero-length|character"):
        parse_command(line)


def test_records_are_read_as_the_file_grows(tmp_path: Path) -> None:
    reader = RecordReader(tmp_path / "records")
    reader.poll()
    assert reader.take_new() == []
    reader.file.write_bytes(record_line("waiting", 0.5, "refused") + record_line("ready", 1.0, 4711) + FIRST.line())
    reader.poll()
    assert (reader.ready, reader.metrics_port, reader.waiting_for) == (True, 4711, "refused")
    assert reader.take_new() == ROWS[:1]
    with reader.file.open("ab") as stream:
        stream.write(SECOND.line() + record_line("dropped", 3.0, "started too late") + record_line("count", 5.0, 3, 1))
        stream.write(record_line("end", 6.0, "stopped by the harness", 3, 99))
    reader.poll()
    assert reader.take_new() == ROWS[1:]
    assert (reader.failed, reader.late) == (1, 2)
    assert (reader.offered, reader.dropped, dict(reader.drops)) == (3, 1, {"started too late": 1})
    assert reader.schedule == (3, 99)
    assert (reader.end, reader.last_report, reader.damaged) == ("stopped by the harness", 6.0, 0)


@settings(deadline=None)
@given(cut=st.integers(0, len(FIRST.line() + SECOND.line())))
def test_partial_line_is_kept_until_its_rest_arrives(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    reader = RecordReader(tmp_path_factory.mktemp("cut") / "records")
    whole = FIRST.line() + SECOND.line()
    reader.file.write_bytes(whole[:cut])
    reader.poll()
    reader.file.write_bytes(whole)
    reader.poll()
    assert reader.take_new() == ROWS
    assert reader.damaged == 0


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b'["request", 1]\n',
        b'["request", 1, 2, "3", "ok", "GET /", ""]\n',
        b'["request", 1, 2, 3, "ok", "GET /", 7]\n',
        b'["gossip", 1]\n',
        b"7\n",
        b"[]\n",
        b'{"a": 1}\n',
    ],
)
def test_a_damaged_line_is_counted_and_the_rest_is_read(tmp_path: Path, line: bytes) -> None:
    reader = RecordReader(tmp_path / "records")
    reader.file.write_bytes(line + FIRST.line())
    reader.poll()
    assert (reader.damaged, reader.take_new()) == (1, ROWS[:1])
