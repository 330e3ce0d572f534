"""The steps of an experiment by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.common.clock import FakeClock
from harness.common.timeouts import NUMBERS_KNOWN
from harness.engine.steps.live import LiveExperiment
from harness.model.timeline import Timeline
from harness.objectives.base import Objective
from harness.safety.guard.blast import Strike
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import Stage


def test_guard_counts_active_faults_together_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a Python test may be nested: two halves are a whole."""
    asked: list[int] = []

    def count(_api: Any, _namespace: str, strikes: Sequence[Strike], *_rest: Any, **_options: Any) -> list[str]:
        asked.append(len(strikes))
        return []

    monkeypatch.setattr("harness.engine.steps.effects.refusals", count)
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    stage = Stage(tmp_path)
    experiment = stage.experiment()
    with LiveExperiment(stage.run(), experiment, tmp_path) as live:
        live.deploy(experiment.workload.rendered(stage.cluster.image))
        chosen = live.effects.choose(Mark())
        live.effects.admit([chosen])
        live.effects.inject(*chosen)
        live.effects.admit([chosen])
        live.effects.undo()
        live.effects.admit([chosen])
        live.effects.admit([])
    assert asked == [1, 2, 1]


class Unheard(Told):
    """Judges a number that is reported at the instant ``known`` of the timeline."""

    clock: ClassVar[FakeClock]
    known: float

    def unready(self, timeline: Timeline) -> str:
        known = timeline.offset(self.clock.monotonic()) >= self.known
        return "" if known else "hpa/podinfo has no number"


@pytest.mark.parametrize(("known", "waited"), [(0.0, 0.0), (20.0, 20.0), (500.0, NUMBERS_KNOWN)])
def test_unknown_numbers_are_waited_for_up_to_a_bound(tmp_path: Path, known: float, waited: float) -> None:
    stage = Stage(tmp_path)
    experiment = stage.experiment()
    Unheard.clock = stage.clock
    with LiveExperiment(stage.run(), experiment, tmp_path) as live:
        live.deploy(experiment.workload.rendered(stage.cluster.image))
        began = live.now
        objectives: list[Objective] = [Told(), Unheard(known=began + known)]
        live.wait_known(objectives)
        assert live.now - began == pytest.approx(waited, abs=0.3)
    said = [line for line in stage.said if "has no number" in line]
    assert len(said) == (0 if not waited else 1 if waited < NUMBERS_KNOWN else 2)
