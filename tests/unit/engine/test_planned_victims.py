"""A plan shows the victims of a fault with a time as the faults before have left them."""

from __future__ import annotations

from pathlib import Path

from harness.engine.plan.plan import plan
from harness.engine.plan.text import render
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from tests.fake_run import Stage

ROOT = Path(__file__).resolve().parents[3]


def planned(tmp_path: Path, file: str) -> list[str]:
    experiment = load_experiment(ROOT / "experiments" / file, Sources.for_root(ROOT))
    return [line.strip() for line in render(plan(Stage(tmp_path).run(), experiment)).splitlines()]


def test_paused_rollout_is_resumed(tmp_path: Path) -> None:
    lines = planned(tmp_path, "rollouts/rollout-disturbed.yaml")
    victims = [line for line in lines if line.startswith("victim: deployment/")]
    assert victims == [
        "victim: deployment/podinfo revision 1",
        "victim: deployment/podinfo not paused",
        "victim: deployment/podinfo paused",
    ]


def test_pod_of_a_workload_that_a_rollout_has_changed(tmp_path: Path) -> None:
    lines = planned(tmp_path, "rollouts/rollout-disturbed.yaml")
    assert not [line for line in lines if line.startswith("unknown")]
    assert [line for line in lines if line.startswith("victim: pod/podinfo-…(number ")]


def test_revision_that_a_rollback_leaves(tmp_path: Path) -> None:
    lines = planned(tmp_path, "rollouts/rollback-by-hand.yaml")
    assert "victim: deployment/podinfo revision 2" in lines
