"""Marks are entered and listed on the command line, on the cluster that pytest would use."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import selection
from harness.cli.main import BAD_INPUT, main
from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import SystemClock
from harness.common.progress import Progress
from harness.engine.choose_cluster import Chosen, ClusterRequest
from harness.gameday.marks import entered


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    found = FakeCluster(name="local-resilience")

    def choose(target: ClusterRequest, progress: Progress) -> Chosen:
        del target, progress
        return Chosen(found)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setattr(selection, "choose", choose)
    return found


def test_mark_is_entered_now(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    before = SystemClock().wall()
    assert main(["gameday", "mark", "detected", "--note", "page"]) == 0
    [mark] = entered(cluster.api, before - 1, SystemClock().wall())
    assert (mark.kind, mark.note) == ("detected", "page")
    assert "local-resilience at https://fake.invalid: detected at" in capsys.readouterr().out


def test_mark_of_an_earlier_time_is_listed(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gameday", "mark", "mitigated", "--at", "2026-01-05T10:00:00Z"]) == 0
    capsys.readouterr()
    assert main(["gameday", "marks"]) == 0
    assert "mitigated at 2026-01-05T10:00:00.000Z, entered by" in capsys.readouterr().out
    assert main(["gameday", "marks", "--clear"]) == 0
    assert entered(cluster.api, 0, SystemClock().wall()) == []


def test_unclear_time_is_refused(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gameday", "mark", "detected", "--at", "soon"]) == BAD_INPUT
    assert "--at: found 'soon', expected a time such as 14:05" in capsys.readouterr().err
    assert entered(cluster.api, 0, SystemClock().wall()) == []
