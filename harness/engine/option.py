"""One option of a session: its names on the command line, in the environment and in the ini file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.common.option_values import Reader


@dataclass(frozen=True, slots=True)
class Option:
    """One option: ``--name`` on the command line, ``RESILIENCE_NAME`` and ``resilience_name`` in the ini file.

    ``read`` gives the value of the field ``sets`` of :class:`Settings`; an option without one is part of a group that
    ``resolve`` reads as a whole. The value of a ``path`` is relative to the current folder, or to the folder of the ini
    file that sets it. An option with ``many`` may be repeated on the command line; elsewhere commas separate its
    values, or spaces if it is ``spaced``. ``locate`` makes the files in a value absolute, relative to a
    folder. A ``secret`` value is never shown. ``bare`` is the value of the option without one; empty: it needs one.
    """

    name: str
    help: str
    sets: str = ""
    read: Reader = str
    default: str = ""
    flag: bool = False
    metavar: str = "VALUE"
    path: bool = False
    many: bool = False
    spaced: bool = False
    locate: Callable[[str, Path], str] | None = None
    secret: bool = False
    bare: str = ""

    @property
    def command_line(self) -> str:
        return f"--{self.name}"

    @property
    def destination(self) -> str:
        return "resilience_" + self.name.replace("-", "_")

    @property
    def ini(self) -> str:
        return "resilience_" + self.name.removeprefix("cluster-").removeprefix("resilience-").replace("-", "_")

    @property
    def variable(self) -> str:
        return self.ini.upper()

    def joined(self, values: Iterable[str]) -> str:
        """Return several values of the command line as one text."""
        return (" " if self.spaced else ",").join(values)
