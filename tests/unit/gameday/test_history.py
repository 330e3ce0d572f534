"""History is read from stored runs; what cannot be read is left out with a note."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.clock import iso
from harness.experiment.declaration import Experiment
from harness.experiment.manifests import Workload
from harness.experiment.phases import Length, Phases
from harness.gameday.choice import Candidate, worth
from harness.gameday.history import OVERHEAD, History, Past, on_context, read_history
from harness.model.verdict import Verdict
from harness.results.record import EnvironmentRecord, ExperimentRecord, PhaseRecord, RunRecord
from harness.results.reporting.store import RunStore

NOW = 1_700_000_000.0


def experiment(name: str = "a", content: str = "") -> Experiment:
    phases = Phases(baseline=10, fault=Length.of(10), recovery=60, settle=5)
    return Experiment(name, "", Workload(Path(), (), ()), (), Path("a.yaml"), phases=phases, content=content)


def record(name: str = "a", *, at: float = NOW - 1000, seconds: float = 40.0, **rest: object) -> ExperimentRecord:
    """A record of an experiment whose phases took 30 s."""
    values = {"stage": "closed", "verdict": Verdict.HELD, "passed": True} | rest
    phases = [PhaseRecord(name="baseline", start=0, end=10), PhaseRecord(name="fault", start=10, end=30)]
    values = {"started": iso(at), "finished": iso(at + seconds)} | values
    return ExperimentRecord(id=f"{name}.yaml::{name}", name=name, phases=phases, **values)  # type: ignore[arg-type]


def stored(folder: Path, run: str, *records: ExperimentRecord, on: EnvironmentRecord | None = None) -> None:
    store = RunStore(folder / run)
    store.folder.mkdir(parents=True)
    run_record = RunRecord(run=run, started="2026-01-01T00:00:00Z", seed=1, harness="0", experiments=list(records))
    store.write(run_record.model_copy(update={"environment": on}))


def cluster(context: str, ownership: str = "foreign") -> EnvironmentRecord:
    fields = {"context": context, "server": "https://x", "provider": "kubeconfig", "kubernetes": "v1.36.0"}
    return EnvironmentRecord.model_validate({**fields, "ownership": ownership})


def test_runs_of_all_folders_are_read_the_oldest_first(tmp_path: Path) -> None:
    stored(tmp_path / "here", "two", record(at=NOW - 500))
    stored(tmp_path / "there" / "deep", "one", record(at=NOW - 900, verdict=Verdict.BROKEN, passed=False))
    found = read_history(tmp_path / "here", NOW, [tmp_path / "there"])
    assert [past.verdict for past in found.of("a")] == [Verdict.BROKEN, Verdict.HELD]


def test_copy_of_a_run_counts_once(tmp_path: Path) -> None:
    stored(tmp_path, "one", record())
    stored(tmp_path / "copy", "one", record())
    assert len(read_history(tmp_path, NOW).runs) == 1


def test_run_that_ended_later_does_not_count(tmp_path: Path) -> None:
    stored(tmp_path, "one", record(at=NOW - 10, seconds=40))
    assert read_history(tmp_path, NOW).runs == []


def test_killed_run_is_read_from_its_records(tmp_path: Path) -> None:
    RunStore(tmp_path / "killed").save(record(stage="observed", finished=""))
    (past,) = read_history(tmp_path, NOW).runs
    assert (past.verdict, past.seconds) == (Verdict.INCONCLUSIVE, None)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema_version": "9"}', '{"schema_version": "1", "experiments": [3]}'])
def test_unreadable_run_is_left_out_with_a_note(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    found = read_history(tmp_path, NOW)
    assert found.runs == []
    assert "left out of the history" in found.notes[0]


def test_missing_folder_has_no_history(tmp_path: Path) -> None:
    assert read_history(tmp_path / "none", NOW) == History([], [])


def test_expected_duration_is_the_median_of_recent_runs(tmp_path: Path) -> None:
    lengths = enumerate([400, 50, 40, 60, 45, 55])
    stored(tmp_path, "one", *(record(at=NOW - 9000 + 1000 * number, seconds=length) for number, length in lengths))
    assert read_history(tmp_path, NOW).expected(experiment()) == pytest.approx(50)


def test_unknown_experiment_takes_its_phases_and_overhead(tmp_path: Path) -> None:
    stored(tmp_path, "one", record(seconds=42.0))
    assert read_history(tmp_path, NOW).expected(experiment("b")) == pytest.approx(85 + 12)
    assert History().expected(experiment()) == 85 + OVERHEAD


def test_changed_experiment_takes_its_phases_again() -> None:
    history = History([Past("a", "", NOW, Verdict.HELD, "old", 40.0, 10.0)])
    assert history.expected(experiment(content="old")) == 40.0
    assert history.expected(experiment(content="new")) == 95.0


def test_run_that_ended_early_does_not_count_for_the_length(tmp_path: Path) -> None:
    early = [record(verdict=Verdict.INCONCLUSIVE, passed=False, seconds=5), record(at=NOW - 500, interrupted=True)]
    stored(tmp_path, "one", *early)
    assert read_history(tmp_path, NOW).expected(experiment()) == 85 + OVERHEAD


def test_attempts_of_a_series_share_its_length(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    series = record(seconds=300).model_dump(mode="json") | {"series": {"x": 1}, "attempts": [{}, {}, {}]}
    import json

    (tmp_path / "one" / "results.json").write_text(json.dumps({"schema_version": "1", "experiments": [series]}))
    (past,) = read_history(tmp_path, NOW).runs
    assert past.seconds == pytest.approx(100)


def test_missing_folder_of_earlier_runs_is_noted(tmp_path: Path) -> None:
    (note,) = read_history(tmp_path, NOW, [tmp_path / "typo"]).notes
    assert note == f"{tmp_path / 'typo'}: no such folder, so there is no history from it"


def test_runs_on_another_cluster_do_not_count_as_tried(tmp_path: Path) -> None:
    stored(tmp_path, "one", record(at=NOW - 900), on=cluster("staging"))
    stored(tmp_path, "two", record("b", at=NOW - 900), on=cluster("production"))
    found = read_history(tmp_path, NOW, here=on_context("production"))
    assert (found.of("a"), len(found.of("b"))) == ([], 1)
    # What it took there is still the best guess.
    assert found.expected(experiment("a")) == 40.0
    assert worth(Candidate("a", 40.0), found, NOW).reason == "never run on this cluster"
    assert worth(Candidate("c", 40.0), found, NOW).reason == "never run"


def test_time_taken_on_this_cluster_comes_first(tmp_path: Path) -> None:
    stored(tmp_path, "one", record(at=NOW - 900, seconds=100), on=cluster("staging"))
    stored(tmp_path, "two", record(at=NOW - 950, seconds=50), on=cluster("production"))
    assert read_history(tmp_path, NOW, here=on_context("production")).expected(experiment()) == 50.0


def test_unknown_context_counts_own_clusters_only(tmp_path: Path) -> None:
    stored(tmp_path, "one", record("a"), on=cluster("kind-resilience", "owned"))
    stored(tmp_path, "two", record("b"), on=cluster("staging"))
    found = read_history(tmp_path, NOW, here=on_context(None))
    assert (len(found.of("a")), found.of("b")) == (1, [])


def test_killed_run_counts_on_no_cluster(tmp_path: Path) -> None:
    RunStore(tmp_path / "killed").save(record(stage="observed", finished=""))
    found = read_history(tmp_path, NOW, here=on_context("production"))
    assert (found.of("a"), len(found.runs)) == ([], 1)
