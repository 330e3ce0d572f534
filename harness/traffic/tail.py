"""Incremental reading of a file of lines that another process appends to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

# Bytes that are read at a time: a record may be larger than the memory.
_BLOCK = 1 << 20


class GrowingRecord:
    """A growing file of lines. Each ``poll`` reads only what is new; an incomplete last line waits for the next call.

    ``take`` is called with each complete line; it raises ValueError, TypeError or IndexError if the line is not a valid
    record. ``damaged`` counts such lines: if there are any, records were lost.
    """

    def __init__(self, file: Path, take: Callable[[bytes], None]) -> None:
        self.file = file
        self.damaged = 0
        self._take = take
        self._offset = 0
        self._rest = b""

    def poll(self) -> None:
        """Read the lines appended since the last call; a missing file counts as empty."""
        try:
            with self.file.open("rb") as stream:
                stream.seek(self._offset)
                while new := stream.read(_BLOCK):
                    self._offset += len(new)
                    self._take_lines(new)
        except FileNotFoundError:
            return

    def _take_lines(self, new: bytes) -> None:
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            try:
                self._take(line)
            except (ValueError, TypeError, IndexError):
                self.damaged += 1
