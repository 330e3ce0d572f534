"""The run's folder: every file whole at every moment, one file an experiment, all of them in results.json."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import jsonschema
import pytest

from harness.common.errors import InputError
from harness.model.verdict import Verdict
from harness.results.comparison.samples import outcomes
from harness.results.record import ChartRecord, ExperimentRecord, ObjectiveRecord, PhaseRecord, RunRecord
from harness.results.reporting import overview
from harness.results.reporting.publish import write_report
from harness.results.reporting.schema import PUBLISHED, published_text, results_schema
from harness.results.reporting.store import RunStore, load, slug
from harness.results.reporting.summary import junit_properties
from harness.results.traffic_record import LoadRecord
from tests.unit.results.reporting import sample_runs


def declared(node: str, name: str = "pod-kill", twin: str = "", started: str = "") -> ExperimentRecord:
    return ExperimentRecord(id=node, name=name, twin=twin, started=started)


def test_a_crash_while_saving_keeps_the_last_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step of writing fails, the file of the stage before it is whole and nothing else is left behind."""
    store, record = RunStore(tmp_path), declared("a.yaml::a")
    file = store.save(record)
    before = file.read_text()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    for module, name in [(os, "fsync"), (Path, "replace")]:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fail)
            with pytest.raises(OSError, match="disk full"):
                store.save(record.model_copy(update={"stage": "observed"}))
        assert file.read_text() == before
        assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_each_stage_replaces_the_one_before_it(tmp_path: Path) -> None:
    store, record = RunStore(tmp_path), declared("a.yaml::a")
    for stage in ("declared", "observed", "judged", "closed"):
        store.save(record.model_copy(update={"stage": stage}))
    assert [merged.stage for merged in store.merge(sample_runs.run()).experiments] == ["closed"]


@pytest.mark.parametrize("record", [sample_runs.experiment(), sample_runs.twin(), sample_runs.broken()])
def test_unfinished_verdict_is_not_counted(tmp_path: Path, record: ExperimentRecord) -> None:
    store = RunStore(tmp_path)
    store.save(record.model_copy(update={"stage": "judged"}))
    store.write(store.merge(sample_runs.run()))
    run = load(tmp_path)
    (found,) = run.experiments
    until_then = f"check for leftovers; verdict before that: {record.verdict}: {record.reason}"
    assert (found.verdict, found.passed, found.reason.endswith(until_then)) == (Verdict.INCONCLUSIVE, False, True)
    assert overview.run_verdict(run) is Verdict.INCONCLUSIVE
    assert overview.verdict_text(found) == "INCONCLUSIVE"
    assert ("verdict", "INCONCLUSIVE") in junit_properties(found)
    assert [outcome.attempts for outcome in outcomes(run).values()] == [0]


def test_slugs_are_safe_and_unique() -> None:
    """Names that look alike once they are made safe, and names with one long beginning, keep files of their own."""
    ids = ["a/b.yaml::x", "a-b.yaml::x", "A/B.yaml::x", "../../etc/passwd", "", "x" * 500, "x" * 501, "🧨", "a\0b"]
    slugs = [slug(declared(node, name=node, twin=twin)) for node in ids for twin in ("", "t")]
    assert len(set(slugs)) == len(slugs)
    for made in slugs:
        assert made.isascii()
        assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert 0 < len(made) < 200


def test_merging_takes_every_workers_files_in_the_order_started(tmp_path: Path) -> None:
    times = {"c": "2026-11-23T07:00:03Z", "a": "2026-11-23T07:00:01Z", "never": "", "b": "2026-11-23T07:00:02Z"}
    for node, started in times.items():
        RunStore(tmp_path).save(declared(node, started=started))
    store = RunStore(tmp_path)
    store.folder_of(declared("a")).joinpath("undo.jsonl").write_text("{}\n")
    (tmp_path / "experiments" / ".half.tmp").write_text("{")
    merged = store.merge(sample_runs.run())
    assert [record.id for record in merged.experiments] == ["a", "b", "c", "never"]


def test_merging_names_every_file_that_is_no_record(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.save(declared("a"))
    (tmp_path / "experiments" / "cut.json").write_text('{"id": "x", ')
    (tmp_path / "experiments" / "other.json").write_text('{"hello": 1}')
    with pytest.raises(InputError) as caught:
        store.merge(sample_runs.run())
    assert {problem.file.name for problem in caught.value.problems if problem.file} == {"cut.json", "other.json"}


def test_run_survives_the_round_trip(tmp_path: Path) -> None:
    for made in (sample_runs.mixed(), sample_runs.hostile(), sample_runs.run()):
        RunStore(tmp_path).write(made)
        assert load(tmp_path) == made
        assert load(tmp_path / "results.json") == made


def test_unfinished_run_has_the_experiments_stored_so_far(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.write(sample_runs.run().model_copy(update={"finished": ""}))
    store.save(declared("a"))
    assert [record.id for record in load(tmp_path).experiments] == ["a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("", "invalid JSON"),
        ('{"run": "x",\n "experim', "truncated"),
        ("[]", "should be a valid dictionary"),
        ('{"schema_version": "2", "anything": "new"}', "version '2', expected '1'"),
        ('{"schema_version": "1", "run": "x", "started": "", "harness": "1", "seed": "many"}', "seed"),
        ("\udcff", "cannot be read"),
    ],
)
def test_unloadable_run_is_one_error_naming_the_file(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "results.json"
    if text is not None:
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=said) as caught:
        load(tmp_path)
    assert all(problem.file == file for problem in caught.value.problems)


def test_results_validate_against_the_published_schema(tmp_path: Path) -> None:
    schema = json.loads(PUBLISHED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for made in (sample_runs.mixed(), sample_runs.hostile(), sample_runs.run()):
        file = RunStore(tmp_path).write(made)
        jsonschema.validate(json.loads(file.read_text()), schema)


def test_the_schema_refuses_what_is_not_a_run() -> None:
    data = sample_runs.mixed().model_dump(mode="json")
    data["experiments"][0]["verdict"] = "PASSED"
    with pytest.raises(jsonschema.ValidationError, match="PASSED"):
        jsonschema.validate(data, results_schema())


def test_skip_of_a_recorded_experiment_is_not_counted(tmp_path: Path) -> None:
    """A Python test may be skipped after its experiment began: the record counts."""
    store, record = RunStore(tmp_path), sample_runs.experiment()
    store.save(record)
    made = sample_runs.skipping()
    made.skipped.append(made.skipped[0].model_copy(update={"id": record.id}))
    assert [skip.name for skip in store.merge(made).skipped] == ["wide", "pair[weak]"]


def test_the_published_schema_is_current() -> None:
    """To write it again: from harness.results.reporting.schema import *; PUBLISHED.write_text(published_text())."""
    assert PUBLISHED.read_text() == published_text()


def test_no_infinity_reaches_the_file(tmp_path: Path) -> None:
    """Where a number may be unknown, NaN and infinity are unknown; nothing that JSON cannot say is written."""
    nan, inf = math.nan, math.inf
    objective = ObjectiveRecord(kind="k", title="t", verdict=Verdict.BROKEN, reason="", observed=nan, margin=-inf)
    record = declared("a").model_copy(
        update={
            "objectives": [objective],
            "phases": [PhaseRecord(name="fault", start=1.0, end=inf)],
            "load": LoadRecord(profile="p", target="t", latency={"fault": {"p50": nan, "max": 2.0}}),
            "chart": ChartRecord(bin=1.0, p50=[nan, 0.1], p95=[inf, 0.2]),
        }
    )
    file = RunStore(tmp_path).write(sample_runs.run(record))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(file.read_text(), parse_constant=refuse)
    (read,) = load(tmp_path).experiments
    assert (read.objectives[0].observed, read.objectives[0].margin, read.phases[0].end) == (None, None, None)
    assert read.load is not None
    assert read.load.latency == {"fault": {"max": 2.0}}
    assert read.chart is not None
    assert read.chart.p95 == [None, 0.2]


def test_report_is_rendered_from_the_stored_run_only(tmp_path: Path) -> None:
    """Rendering again, from what was stored, gives the same files byte for byte."""
    made: RunRecord = sample_runs.mixed()
    RunStore(tmp_path).write(made)
    index = write_report(tmp_path, made)
    first = {path.name: path.read_bytes() for path in (index, tmp_path / "summary.md", tmp_path / "results.json")}
    write_report(tmp_path, load(tmp_path))
    assert first == {name: (tmp_path / name).read_bytes() for name in first}
