"""The program in the pod: nothing runs without storage, a signal reaches pytest, and no report is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.common.errors import ClusterRefused
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting.store import RunStore, load
from harness.schedule.outcome import LIMIT, Outcome, read_outcome
from harness.schedule.runner import NOT_STORED, REFUSED, Places, copy_project, results_in_log, run
from harness.schedule.storage import Folder
from tests.fake_run import Stage
from tests.unit.schedule.test_storage import Full


class Finished:
    """Stands in for pytest: a process that writes the report of a run and ends with a code."""

    def __init__(self, reports: Path, record: ExperimentRecord | None, code: int = 0) -> None:
        self.reports, self.record, self.code = reports, record, code
        self.command: Sequence[str] = ()

    def __call__(self, command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
        del folder
        self.command = command
        if self.record:
            found = RunRecord(run="run1", started="a", finished="b", seed=1, harness="0", experiments=[self.record])
            RunStore(self.reports / "run1").write(found)
        return self  # type: ignore[return-value]

    def wait(self, _seconds: float) -> int:
        return self.code


@contextmanager
def _free() -> Iterator[None]:
    yield


@contextmanager
def _taken() -> Iterator[None]:
    raise ClusterRefused("another scheduled run is active: schedule weekly (pod w); nothing was run")
    yield


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "volume").mkdir()
    (tmp_path / "project").mkdir()
    return Places(None, tmp_path / "project", tmp_path / "reports", tmp_path / "message")


@pytest.fixture
def record(tmp_path: Path) -> ExperimentRecord:
    return Stage(tmp_path / "stage").play()


def _message(places: Places) -> Outcome:
    found = read_outcome(places.termination.read_text())
    assert found is not None
    return found


def test_report_is_stored_with_its_verdict(places: Places, record: ExperimentRecord, tmp_path: Path) -> None:
    start = Finished(places.reports, record)
    assert run(places, Folder(tmp_path / "volume"), ["--cluster=in-cluster", "x.yaml"], _free, start) == 0
    assert (tmp_path / "volume/run1/results.json").exists()
    assert start.command[-2:] == ["--cluster=in-cluster", "x.yaml"]
    outcome = _message(places)
    assert (outcome.state, outcome.run, outcome.left) == (record.verdict.value, "run1", [])


def test_nothing_runs_if_reports_cannot_be_stored(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    start = Finished(places.reports, None)
    assert run(places, Full("check"), ["x.yaml"], _free, start) == REFUSED
    assert start.command == ()
    assert _message(places).state == "refused"
    assert "nothing was run: Read-only file system" in capsys.readouterr().out


def test_two_game_days_at_once_are_refused(places: Places, tmp_path: Path) -> None:
    start = Finished(places.reports, None)
    assert run(places, Folder(tmp_path / "volume"), ["x.yaml"], _taken, start) == REFUSED
    assert start.command == ()
    assert "another scheduled run is active" in _message(places).reason


def test_full_volume_puts_the_results_into_the_log(
    places: Places, record: ExperimentRecord, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    start = Finished(places.reports, record)
    assert run(places, Full("run1"), ["x.yaml"], _free, start) == NOT_STORED
    log = capsys.readouterr().out
    assert "THE REPORT COULD NOT BE STORED in the volume at /results" in log
    ((name, content),) = results_in_log(log).items()
    (tmp_path / "again").mkdir()
    (tmp_path / "again/results.json").write_bytes(content)
    assert name == "run1"
    assert load(tmp_path / "again").experiments == [record]
    assert _message(places).stored == ""


def test_failed_run_keeps_the_exit_code_of_pytest(places: Places, record: ExperimentRecord) -> None:
    assert run(places, Full("run1"), ["x.yaml"], _free, Finished(places.reports, record, 1)) == 1
    assert run(places, Full(), ["x.yaml"], _free, Finished(places.reports, record, -9)) == 137


def test_experiment_without_a_check_for_leftovers_counts(places: Places, record: ExperimentRecord) -> None:
    judged = record.model_copy(update={"stage": "judged"})
    run(places, Full(), ["x.yaml"], _free, Finished(places.reports, judged, 1))
    assert _message(places).left == [record.name]


def test_run_without_a_report_is_failed(places: Places) -> None:
    assert run(places, Full(), ["x.yaml"], _free, Finished(places.reports, None, 4)) == 4
    assert _message(places).state == "failed"


def test_state_of_a_game_day_is_not_a_run(places: Places, record: ExperimentRecord) -> None:
    (places.reports / "gamedays").mkdir(parents=True)
    assert run(places, Full(), ["day.yaml"], _free, Finished(places.reports, record)) == 0
    assert _message(places).run == "run1"


def test_next_run_finds_what_the_one_before_stored(
    places: Places, record: ExperimentRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = tmp_path / "volume"
    (volume / "gamedays").mkdir()
    (volume / "gamedays/friday.json").write_text("{}")
    store = RunStore(volume / "run0")
    store.write(RunRecord(run="run0", started="a", finished="b", seed=1, harness="0", experiments=[record]))
    start = Finished(places.reports, record)
    assert run(places, Folder(volume), ["day.yaml"], _free, start) == 0
    assert (places.reports / "gamedays/friday.json").read_text() == "{}"
    assert load(places.reports / "run0").run == "run0"
    # Only this run's file is new.
    assert "schedule: 1 files stored" in capsys.readouterr().out


def test_earlier_run_is_not_the_result_of_a_new_one(places: Places, record: ExperimentRecord, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "volume/run0")
    store.write(RunRecord(run="run0", started="a", finished="b", seed=1, harness="0", experiments=[record]))
    assert run(places, Folder(tmp_path / "volume"), ["x.yaml"], _free, Finished(places.reports, None, 4)) == 4
    assert _message(places).state == "failed"


def test_unreadable_earlier_results_do_not_stop_a_run(
    places: Places, record: ExperimentRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(places, Full("names"), ["x.yaml"], _free, Finished(places.reports, record)) == 0
    assert "earlier results could not be read, so a game day starts anew: Permission denied" in capsys.readouterr().out


def test_folders_of_a_config_map_are_copied_once(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "..2026/experiments").mkdir(parents=True)
    (source / "..2026/experiments/shop.yaml").write_text("a: 1")
    (source / "..data").symlink_to("..2026")
    (source / "experiments").symlink_to("..data/experiments")
    copy_project(source, tmp_path / "project")
    found = [str(path.relative_to(tmp_path / "project")) for path in (tmp_path / "project").rglob("*")]
    assert sorted(found) == ["experiments", "experiments/shop.yaml"]
    assert not (tmp_path / "project/experiments").is_symlink()


def test_long_outcome_fits_into_a_termination_message() -> None:
    outcome = Outcome(state="BROKEN", exit_code=1, reason="x" * 9000, left=["a" * 40] * 10, worst=["b" * 50] * 10)
    text = outcome.message()
    assert len(text.encode()) <= LIMIT
    assert read_outcome(text) is not None
    assert read_outcome("Killed") is None
