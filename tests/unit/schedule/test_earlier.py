"""What the next pod gets of the earlier runs: states of game days and the newest results, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.schedule import earlier
from harness.schedule.earlier import restore
from harness.schedule.storage import Folder


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with a run that ended, one that was killed, and a game day."""
    for name in (
        "gamedays/friday.json",
        "gamedays/friday.lock",
        "20260101-1/results.json",
        "20260101-1/index.html",
        "20260101-1/experiments/a.json",
        "20260102-2/experiments/a.json",
        "20260102-2/experiments/b.json",
        "20260102-2/experiments/b/requests.csv",
        "lost+found/x",
    ):
        file = tmp_path / "volume" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path / "volume"


def _restored(volume: Path, reports: Path) -> list[str]:
    restore(Folder(volume), reports)
    return sorted(str(path.relative_to(reports)) for path in reports.rglob("*") if path.is_file())


def test_states_and_results_are_restored(volume: Path, tmp_path: Path) -> None:
    assert _restored(volume, tmp_path / "reports") == [
        "20260101-1/results.json",
        "20260102-2/experiments/a.json",
        "20260102-2/experiments/b.json",
        "gamedays/friday.json",
    ]
    assert (tmp_path / "reports/gamedays/friday.json").read_text() == "gamedays/friday.json"


def test_only_the_newest_runs_are_restored(volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "MOST_RUNS", 1)
    found = _restored(volume, tmp_path / "reports")
    assert "20260102-2/experiments/a.json" in found
    assert "20260101-1/results.json" not in found


def test_empty_volume_restores_nothing(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    restore(Folder(tmp_path / "volume"), tmp_path / "reports")
    assert not (tmp_path / "reports").exists()
