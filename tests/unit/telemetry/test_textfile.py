"""The textfile: merged over runs, atomic, readable for the collector, and never that of another program."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from harness.common.errors import HarnessError
from harness.model.verdict import Verdict
from harness.results.record import RunRecord
from harness.telemetry import textfile
from harness.telemetry.exposition import parsed
from harness.telemetry.metrics import samples
from harness.telemetry.textfile import write_textfile
from tests.unit.telemetry.runs import BEGAN, experiment, run, twin


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "resilience.prom"


def write(file: Path, *runs: RunRecord) -> dict[tuple[str, ...], float]:
    """Write the runs one after the other; return the values of the file by metric and labels, without the prefix."""
    for each in runs:
        write_textfile(file, samples(each))
    found, others = parsed(file.read_text())
    assert not others
    return {(each.key[0].removeprefix("resilience_"), *each.key[1:]): each.value for each in found}


def test_experiments_of_other_runs_and_clusters_stay(file: Path) -> None:
    second = experiment(name="two", id="two")
    values = write(file, run(experiment(), twin()), run(second), run(experiment(), context="kind-other"))
    passed = {key[1:] for key in values if key[0] == "experiment_passed"}
    assert passed == {
        ("kind-test", "one", ""),
        ("kind-test", "one", "single"),
        ("kind-test", "two", ""),
        ("kind-other", "one", ""),
    }


def test_objective_that_was_removed_is_removed(file: Path) -> None:
    values = write(file, run(), run(experiment(objectives=[], recovery=[])))
    assert not [key for key in values if key[0].startswith(("objective", "recovery"))]


def test_counters_add_up(file: Path) -> None:
    broken = experiment(verdict=Verdict.BROKEN, passed=False)
    values = write(file, run(), run(broken), run(broken))
    counts = {verdict: values["experiment_runs_total", "kind-test", "one", "", verdict] for verdict in Verdict}
    assert counts == {"HELD": 1, "BROKEN": 2, "INCONCLUSIVE": 0}
    assert values["runs_total", "kind-test", "BROKEN"] == 2


def test_last_success_stays_when_the_next_run_fails(file: Path) -> None:
    broken = experiment(verdict=Verdict.BROKEN, passed=False, finished="2025-11-29T08:30:00.000Z")
    values = write(file, run(), run(broken, ended=1900))
    assert values["experiment_last_success_timestamp_seconds", "kind-test", "one", ""] == BEGAN + 70
    assert values["experiment_last_run_timestamp_seconds", "kind-test", "one", ""] == BEGAN + 1800
    assert values["last_success_timestamp_seconds", "kind-test"] == BEGAN + 80


def test_collector_can_read_it_and_finds_no_other_file(file: Path) -> None:
    write(file, run())
    assert file.stat().st_mode & 0o444 == 0o444
    assert [path.name for path in file.parent.glob("*.prom")] == ["resilience.prom"]


@pytest.mark.parametrize("text", ["apt_upgrades_pending 3\n", "{{{ not metrics", "\udcff"])
def test_file_of_something_else_is_not_replaced(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = file.read_bytes()
    with pytest.raises(HarnessError, match=r"resilience\.prom"):
        write_textfile(file, samples(run()))
    assert file.read_bytes() == before


def test_metrics_of_another_version_are_left_out(file: Path) -> None:
    file.write_text("resilience_old_seconds 3\n")
    assert ("old_seconds",) not in write(file, run())


def test_lock_that_is_held_is_an_error_and_no_wait_for_ever(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "LOCK_SECONDS", 0.0)
    with FileLock(file.parent / f".{file.name}.lock"), pytest.raises(HarnessError, match="another run holds"):
        write_textfile(file, samples(run()))


def test_labels_are_escaped(file: Path) -> None:
    name = 'a "quoted" \\ name\nof two lines'
    assert ("experiment_passed", "kind-test", name, "") in write(file, run(experiment(name=name)))
