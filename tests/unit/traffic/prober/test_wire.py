"""Settings and records survive the way between the two processes, cut off and damaged lines included."""

from __future__ import annotations

from pathlib import Path

from harness.traffic.prober.reader import RecordReader
from harness.traffic.prober.wire import Settings, StreamSettings, record_line


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    stream = StreamSettings("dns", "10.0.0.1", 53, 0.05, 0.5, options={"name": "a.b", "type": "A"})
    settings = Settings((stream, StreamSettings("http", "::1", 80, 1.0, 2.0, kept=True)), 12.5)
    settings.write(tmp_path / "settings.json")
    assert Settings.read(tmp_path / "settings.json") == settings


def test_appended_lines_are_read_once_and_partial_lines_kept(tmp_path: Path) -> None:
    file, reader = tmp_path / "records", RecordReader(tmp_path / "records", 2)
    reader.poll()
    line = record_line("probe", 1, 1.0, 1.5, 2.0, "ok")
    file.write_bytes(record_line("alive", 3.0) + line[:10])
    reader.poll()
    assert (reader.last_report, reader.take_new(0), reader.take_new(1)) == (3.0, [], [])
    with file.open("ab") as more:
        more.write(line[10:] + record_line("dropped", 0, 1.25, "the prober was late") + record_line("end", 4.0, "done"))
    reader.poll()
    reader.poll()
    assert (reader.take_new(0), reader.take_new(1)) == ([], [(1.0, 1.5, 2.0, True, "ok", "", "")])
    assert (reader.latest, reader.outcomes[1]["ok"]) == (["", "ok"], 1)
    assert [drops.total() for drops in reader.drops] == [1, 0]
    assert (reader.end, reader.damaged) == ("done", 0)


def test_a_damaged_line_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "records"
    file.write_bytes(
        b'["probe", 9, 1, 2, 3, "ok"]\n["probe", 0]\nnonsense\n["what", 1]\n["probe", 0, 1, 2, null, "ok"]\n'
    )
    reader = RecordReader(file, 1)
    reader.poll()
    assert (reader.damaged, reader.take_new(0)) == (5, [])
