"""A load process that an agent starts, without a process: its records are written by the test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.traffic.load.plan import LoadPlan, Settings
from tests.unit.traffic.load.test_plan import PLAN


class FakeProcess:
    """See ``harness.traffic.process.Child``."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.code: int | None = None
        self.settings: Settings | None = None
        self.environ: Mapping[str, str] = {}
        self.folder = Path()

    def start(self, settings: Settings, folder: Path, environ: Mapping[str, str]) -> Any:  # a Child for the agent
        assert self.settings is None, "started twice"
        self.settings, self.folder, self.environ = settings, folder, environ
        (folder / "output.log").write_text("first\n\nlast words\n")
        return self

    @property
    def pid(self) -> int:
        # No process has this number, so that signals to it go nowhere.
        return 2**22 + 1

    def exit_code(self) -> int | None:
        return self.code

    def progress(self, line: bytes) -> None:
        self.lines.append(line)

    def end(self, grace: float, farewell: bytes = b"") -> None:
        self.code = -15 if self.code is None else self.code


def settings(plan: LoadPlan = PLAN) -> Settings:
    return plan.settings()
