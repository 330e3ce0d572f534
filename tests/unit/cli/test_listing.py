"""`harness list` and `harness explain` read the models, so that they have every kind and every field."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cli.main import BAD_INPUT, main
from harness.experiment import registry
from harness.experiment.explanation import explain
from harness.experiment.json_schema import experiment_schema
from harness.experiment.kinds import LISTS, kinds
from harness.experiment.schema_fields import Definitions
from tests.fake_run import write_project


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one experiment, as the current folder."""
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(capsys: pytest.CaptureFixture[str], what: str) -> dict[str, str]:
    assert main(["list", what, "--json"]) == 0
    return {entry["name"]: entry["about"] for entry in json.loads(capsys.readouterr().out)}


def test_list_has_every_kind_with_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    for what, known in (
        ("faults", registry.faults()),
        ("objectives", registry.objectives()),
        ("probes", registry.probes()),
    ):
        found = listed(capsys, what)
        assert found.keys() == known.keys()
        assert [name for name, about in found.items() if len(about) < 10 or "\n" in about] == []


def test_list_prints_one_line_for_each_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "faults"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(registry.faults())


def test_list_has_profiles_of_project_and_package(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    (project / "loadprofiles").mkdir()
    (project / "loadprofiles" / "lunch.yaml").write_text("kind: Nothing\n")
    found = listed(capsys, "profiles")
    assert found["steady"] == "The full rate in every phase."
    assert found["lunch"].startswith("cannot be used: ")


def test_list_has_workloads_of_project_and_package(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    (project / "experiments" / "workloads" / "empty").mkdir()
    found = listed(capsys, "workloads")
    assert "deployment/podinfo" in found["builtin/podinfo"]
    assert "service/" in found["workloads/shop"]
    assert "found no .yaml" in found["workloads/empty"]


def test_explain_shows_a_kind_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "podKill"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("podKill: a fault\n")
    assert "- podKill: {selector: app=podinfo, count: 50%, gracePeriod: 0s}" in text
    assert "count: whole number or text, default 1\n" in text
    assert "Effect: pods are deleted." in text


def test_explain_names_the_experiments_that_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "podKill.count"]) == 0
    assert "experiments/one-killed.yaml" in capsys.readouterr().out
    assert main(["explain", "podKill.where"]) == 0
    assert "experiments/one-killed.yaml" not in capsys.readouterr().out


def test_explain_gives_type_unit_and_default() -> None:
    (found,) = explain("experiment.phases.baseline")
    assert found.properties == [
        ("Type:", "duration (a number with its unit: 200ms, 20s, 1m30s, 2h)"),
        ("Default:", "10s"),
    ]
    (rate,) = explain("load.rate")
    assert (rate.type, rate.required) == ("rate", False)


def test_explain_goes_below_names_and_lists() -> None:
    assert explain("experiment.twins.because")[0].steps == ("twins", "*", "because")
    assert explain("experiment.prober.http.path")[0].default == "/"
    assert explain("experiment.faults.scale.replicas")[0].steps == ("faults", "scale", "replicas")
    assert explain("experiment.safety.caps.workload.share")[0].type == "share"


def test_explain_shows_the_keys_beside_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"at", "for", "every", "after", "when"} <= {field.name for field in explain("experiment.faults")[0].fields}
    assert explain("faults.when.within") == explain("experiment.faults.when.within")
    assert explain("faults.every")[0].type == "duration"
    assert main(["explain", "faults.when.wihtin"]) == BAD_INPUT
    assert "faults.when has no field 'wihtin', did you mean within?" in capsys.readouterr().err


def test_explain_shows_all_kinds_of_one_name() -> None:
    assert [found.title for found in explain("identity")] == ["identity: an objective", "identity: a probe"]
    assert [found.title for found in explain("probes.identity")] == ["identity: a probe"]
    # Only the objective has this parameter.
    assert [found.title for found in explain("identity.within")] == ["objectives.identity.within"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("podkill", "podKill"),
        ("podKill.cuont", "count"),
        ("experiment.phasse", "phases"),
        ("faults.podEvikt", "podEvict"),
        ("experiment.load.rat", "rate"),
        ("exprimnt", "experiment"),
    ],
)
def test_explain_suggests_the_nearest_word(capsys: pytest.CaptureFixture[str], word: str, meant: str) -> None:
    assert main(["explain", word]) == BAD_INPUT
    assert f"did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["", ".", "experiment.hypothesis.x", "podKill.count.x", "faults.", "*", "a b", "💥"])
def test_explain_of_nonsense_is_one_error(capsys: pytest.CaptureFixture[str], word: str) -> None:
    code = main(["explain", word])
    assert code == (0 if word == "faults." else BAD_INPUT)
    assert "Traceback" not in capsys.readouterr().err


def test_every_field_of_the_schema_can_be_explained() -> None:
    schema = experiment_schema()
    reader = Definitions(schema)
    paths = [f"experiment.{field.name}" for field in reader.fields(schema)]
    for kind in kinds():
        node = schema["$defs"][f"{kind.list}.{kind.name}"]
        paths += [f"{kind.list}.{kind.name}.{field.name}" for field in reader.fields(node)]
    assert len(paths) > 90
    for path in paths:
        (found,) = explain(path)
        assert found.about, path
        assert found.type not in ("", "any"), path


def test_every_kind_has_an_example_to_show() -> None:
    assert [kind.name for kind in kinds(*LISTS) if kind.is_built_in and kind.example is None] == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "found"),
    [(["expl"], "explain"), (["cluster", "st"], "status"), (["list", "prof"], "profiles"), (["validate", "exper"], "")],
)
def test_bash_completes_commands_and_files(
    capsys: pytest.CaptureFixture[str], project: Path, words: list[str], found: str
) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    line = " ".join(["harness", *words])
    program = f'{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _shtab_harness; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, check=True, cwd=project)
    assert done.stdout.strip() == (found or "experiments")


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_completion_of_other_shells_has_all_commands(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["completion", shell]) == 0
    assert "calibrate" in capsys.readouterr().out
