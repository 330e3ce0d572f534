"""The steps of an experiment by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.guard.blast import Strike
from harness.live import LiveExperiment
from tests.fake_plugin import Mark, kinds
from tests.fake_run import Stage


def test_what_is_still_in_effect_is_held_against_the_guard_together_with_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of a Python test may be nested: two halves are a whole."""
    asked: list[int] = []

    def count(_api: Any, _namespace: str, strikes: Sequence[Strike], *_rest: Any) -> list[str]:
        asked.append(len(strikes))
        return []

    monkeypatch.setattr("harness.live.refusals", count)
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.registry.{kind}", found)
    stage = Stage(tmp_path)
    experiment = stage.experiment()
    with LiveExperiment(stage.run(), experiment, tmp_path) as live:
        live.deploy(experiment.workload.rendered(stage.cluster.image))
        chosen = live.choose(Mark())
        live.admit([chosen])
        live.inject(*chosen)
        live.admit([chosen])
        live.undo()
        live.admit([chosen])
        live.admit([])
    assert asked == [1, 2, 1]
