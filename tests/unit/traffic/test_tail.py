"""A growing record is read once, in any pieces; at the end it is compressed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from harness.traffic import tail
from harness.traffic.tail import GrowingRecord, compress, compressed


@pytest.mark.parametrize("block", [1, 3, 4, 1000])
def test_lines_are_read_once_in_blocks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(tail, "_BLOCK", block)
    lines: list[bytes] = []
    record = GrowingRecord(tmp_path / "records", lines.append)
    record.poll()
    record.file.write_bytes(b"one\ntwo\nth")
    record.poll()
    assert lines == [b"one", b"two"]
    with record.file.open("ab") as more:
        more.write(b"ree\nfour\n")
    record.poll()
    record.poll()
    assert lines == [b"one", b"two", b"three", b"four"]


def test_a_compressed_record_has_the_same_lines(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_bytes(b"one\n" * 1000)
    compress(file)
    compress(file)
    assert not file.exists()
    assert gzip.decompress(compressed(file).read_bytes()) == b"one\n" * 1000
