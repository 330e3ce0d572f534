"""A file of lines that another process appends to: read while it grows, compressed at the end."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

# Of gzip: the next levels take twice the time for a tenth less.
_LEVEL = 4
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


def compress(file: Path) -> None:
    """Replace a file to which nothing more is appended by a compressed one with the ending ``.gz``, if it exists."""
    if file.exists():
        with file.open("rb") as plain, gzip.open(compressed(file), "wb", _LEVEL) as packed:
            shutil.copyfileobj(plain, packed, _BLOCK)
        file.unlink()


def compressed(file: Path) -> Path:
    """Return the name of a file after ``compress``."""
    return file.with_name(f"{file.name}.gz")
