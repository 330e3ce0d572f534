"""The command line: exit codes, and what stands on which stream."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.main import BAD_INPUT, FAILED, main
from harness.common.errors import ClusterBroken
from harness.results.record import RunRecord
from harness.results.reporting.store import RunStore
from tests.fake_run import EXPERIMENT, Stage, write_project


def test_validate_counts_the_files_it_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 0
    assert capsys.readouterr().out == "1 experiment file: no problems found\n"


def test_validate_lists_problems_of_all_files_and_exits_with_2(
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
def test_validate_without_files_fails(
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
    assert main(["report", str(folder / "results.json")]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "index.html")


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunStore(tmp_path).write(RunRecord(run="r", started="a", finished="b", seed=1, harness="0"))
    (tmp_path / "index.html").mkdir()
    assert main(["report", str(tmp_path)]) == FAILED
    said = capsys.readouterr().err
    assert str(tmp_path) in said
    assert len(said.splitlines()) == 1


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """``harness report --markdown RUN | head -1`` ends with the code of SIGPIPE and prints no traceback."""
    RunStore(tmp_path).write(RunRecord(run="r", started="a", finished="b", seed=1, harness="0"))
    program = (
        f"import sys; from harness.cli.main import main; sys.exit(main(['report', '--markdown', {str(tmp_path)!r}]))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, "")


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

    monkeypatch.setattr("harness.cli.cluster.commands.down", broken)
    assert main(["cluster", "down"]) == FAILED
    assert capsys.readouterr().err == "ClusterBroken: no luck\n"


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["cluster"], ["schema", "cluster"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_validate_refuses_two_files_with_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_project(tmp_path, name="a.yaml")
    second = write_project(tmp_path, name="b.yaml")
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 2
    said = capsys.readouterr().err
    assert f"{second.relative_to(tmp_path)}:3: metadata.name: found 'one-killed'" in said
    assert str(first) in said


def test_validate_names_files_that_are_not_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path)
    (tmp_path / "experiments/workloads/shop/pdb.yaml.bak").write_text("")
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 0
    assert "since kubectl apply -f does not read it either: pdb.yaml.bak\n" in capsys.readouterr().out


def test_validate_notes_another_name_and_missing_twins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path, EXPERIMENT.partition("twins:")[0], "a.yaml")
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 0
    name, twins, count = capsys.readouterr().out.splitlines()
    assert name == "experiments/a.yaml: found metadata.name one-killed, expected a: reports and -k use the name"
    assert twins.startswith("experiments/a.yaml: found no twins, expected at least one")
    assert count == "1 experiment file: no problems found"


def test_validate_notes_two_autoscalers_for_one_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path)
    target = "{apiVersion: apps/v1, kind: Deployment, name: shop}"
    (tmp_path / "experiments/workloads/shop/scalers.yaml").write_text(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: shop}\n"
        f"spec: {{scaleTargetRef: {target}, maxReplicas: 3}}\n---\n"
        "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: shop}\n"
        f"spec: {{targetRef: {target}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 0
    said = capsys.readouterr().out
    assert ".yaml: hpa/shop and vpa/shop both scale deployment/shop by cpu: " in said


def test_validate_notes_a_load_with_too_few_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = EXPERIMENT.replace("phases:", "load: {target: service/shop, rate: 50/s}\nphases:")
    text = text.replace("objectives:\n", "objectives:\n  - availability: {min: 99.9%, phases: [fault]}\n")
    write_project(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 0
    note, _ = capsys.readouterr().out.splitlines()
    assert note.startswith("experiments/one-killed.yaml: availability at least 99.9% needs 2,995 requests ")
    assert note.endswith("; the load gives 100 in fault: it is likely to be INCONCLUSIVE")


DAY = """\
apiVersion: resilience/v1
kind: GameDay
metadata: {name: friday}
hypothesis: Users notice nothing.
experiments: {paths: [one-killed.yaml]}
"""


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("windows: {allow: [Mon 09:00-09:00:05]}", "6: windows.allow[0]"),
        ("windows: {allow: [Mon 23:59-24:00], freeze: [{from: 2020-01-01, to: 2050-01-01, reason: x}]}", "6: windows"),
        ("load: {target: service/shop, namespace: shop, rate: 5/s, behaviour: nope}", "6: load.behaviour"),
    ],
)
def test_validate_checks_the_parts_of_a_game_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: str, wrong: str
) -> None:
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "friday.yaml").write_text(f"{DAY}{more}\n")
    assert main(["validate"]) == BAD_INPUT
    assert f"friday.yaml:{wrong}: " in capsys.readouterr().err


def test_validate_refuses_windows_shorter_than_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path, EXPERIMENT.replace("recovery: 5s", "recovery: 2m"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "friday.yaml").write_text(DAY + "windows: {allow: [Mon 09:00-09:01]}\n")
    assert main(["validate"]) == BAD_INPUT
    assert "expected a window as long as the shortest experiment" in capsys.readouterr().err
