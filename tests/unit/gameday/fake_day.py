"""A game day on a fake cluster, whose rules are called one by one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.gameday.day import Day, Turn
from harness.gameday.loading import load_game_day
from harness.prometheus.client import Prometheus
from tests.fake_run import Stage

PLAIN = """\
apiVersion: resilience/v1
kind: GameDay
metadata: {name: friday}
hypothesis: Users notice nothing.
experiments: {paths: [experiments/*.yaml]}
"""


@dataclass
class FakeDay:
    """``more`` is added to the declaration of the day; ``prometheus`` is that of its run."""

    root: Path
    more: str = ""
    prometheus: Prometheus | None = None
    names: tuple[str, ...] = ("one", "two", "three")
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stage = Stage(self.root)
        self.clock = self.stage.clock
        file = self.root / "friday.yaml"
        file.write_text(PLAIN + self.more)
        self.run = replace(self.stage.run(), prometheus=self.prometheus)
        experiment = self.stage.experiment()
        self.day = Day(
            game_day=load_game_day(file),
            seed=7,
            started=self.clock.wall(),
            clock=self.clock,
            folder=self.root / "reports" / "run1",
            connect=lambda: self.run,
            progress=self.said.append,
            turns=[Turn(replace(experiment, name=name), seconds=60.0) for name in self.names],
        )
