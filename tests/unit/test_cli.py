"""The command line: exit codes, and what stands on which stream."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import BAD_INPUT, FAILED, main
from harness.errors import ClusterBroken
from harness.record import RunRecord
from harness.reporting.store import RunStore
from tests.fake_run import EXPERIMENT, Stage, write_project


def test_validate_tells_how_many_are_well_formed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 0
    assert capsys.readouterr().out == "1 experiment files are well-formed\n"


def test_validate_names_the_problems_of_all_files_and_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path, EXPERIMENT.replace("count", "cuont"), "a.yaml")
    write_project(tmp_path, EXPERIMENT.replace("max: 10s", "max: soon"), "b.yaml")
    monkeypatch.chdir(tmp_path)
    assert main(["validate", "experiments/a.yaml", "experiments/b.yaml"]) == BAD_INPUT
    said = capsys.readouterr()
    assert said.out == ""
    assert "experiments/a.yaml:8: faults[0].podKill.cuont: unknown key" in said.err
    assert "experiments/b.yaml:10: objectives[0].recoveryTime.max" in said.err


@pytest.mark.parametrize("path", ["empty", "missing.yaml"])
def test_validate_of_nothing_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["validate", path]) == BAD_INPUT
    assert path in capsys.readouterr().err


def test_report_renders_a_stored_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = Stage(tmp_path).play()
    folder = tmp_path / "stored"
    RunStore(folder).write(
        RunRecord(run="r", started=record.started, finished=record.finished, seed=1, harness="0", experiments=[record])
    )
    assert main(["report", str(folder)]) == 0
    assert "one-killed" in (folder / "index.html").read_text()
    capsys.readouterr()
    assert main(["report", "--markdown", str(folder)]) == 0
    assert "one-killed" in capsys.readouterr().out


def test_report_of_no_run_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == BAD_INPUT
    assert "results.json" in capsys.readouterr().err


@pytest.mark.parametrize("of", ["experiment", "results"])
def test_schema_prints_json(of: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", of]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]


def test_a_failure_exits_with_1_and_its_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ClusterBroken("no luck")

    monkeypatch.setattr("harness.cli.commands.down", broken)
    assert main(["cluster", "down"]) == FAILED
    assert capsys.readouterr().err == "ClusterBroken: no luck\n"


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["cluster"], ["schema", "cluster"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
