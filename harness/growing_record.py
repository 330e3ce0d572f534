"""A file of lines that another process appends to, read as it grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


class GrowingRecord:
    """Follows a file of lines as it grows; each ``poll`` reads only what is new, and keeps a line that is cut off.

    ``take`` gets each line; one that it refuses with ValueError, TypeError or IndexError is complete and still no
    record. ``damaged`` counts those: more than none means that something is lost.
    """

    def __init__(self, file: Path, take: Callable[[bytes], None]) -> None:
        self.file = file
        self.damaged = 0
        self._take = take
        self._offset = 0
        self._rest = b""

    def poll(self) -> None:
        """Take in what was appended since the last time; a file that is not there yet has nothing."""
        try:
            with self.file.open("rb") as stream:
                stream.seek(self._offset)
                new = stream.read()
        except FileNotFoundError:
            return
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            try:
                self._take(line)
            except (ValueError, TypeError, IndexError):
                self.damaged += 1
