"""What an experiment asks of a Prometheus is held against the one that is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.errors import CapabilityMissing
from harness.objectives.prometheus import Prometheus as Asking
from harness.probes.prometheus import Prometheus, PrometheusError
from harness.requirements import missing, require
from tests.fake_run import Stage


@dataclass
class Scraping:
    """A Prometheus that says how often it scrapes, or does not."""

    interval: float | None

    def scrape_interval(self) -> float:
        if self.interval is None:
            raise PrometheusError("gone")
        return self.interval


def lacking(root: Path, interval: float | None, **phases: float) -> list[str]:
    stage = Stage(root)
    found: Any = stage.experiment()
    asking = Asking(name="members", value="up", min=1, phases=("settle",))
    found = replace(found, objectives=(asking,), phases=found.phases.model_copy(update=phases))
    return missing(replace(stage.run(), prometheus=cast(Prometheus, Scraping(interval))), found)


@pytest.mark.parametrize("length", [60.0, 61.0])
def test_phases_of_four_scrapes_are_enough(tmp_path: Path, length: float) -> None:
    assert lacking(tmp_path, 15.0, baseline=length, settle=length) == []


def test_a_phase_too_short_for_the_real_interval_is_told(tmp_path: Path) -> None:
    (why,) = lacking(tmp_path, 15.0, baseline=60.0, settle=59.0)
    assert why == "its Prometheus scrapes too rarely for a settle of 59 s: 60 s would be needed"


def test_a_prometheus_that_does_not_answer_is_told(tmp_path: Path) -> None:
    assert lacking(tmp_path, None, baseline=60.0, settle=60.0) == ["its Prometheus does not answer: gone"]


def test_everything_that_is_missing_comes_at_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.cluster._images = ()
    asking = Asking(name="members", value="up", min=1)
    wanting = replace(stage.experiment(), objectives=(asking,))
    with pytest.raises(CapabilityMissing, match="no image podinfo; no Prometheus, which members would"):
        require(stage.run(), wanting)
