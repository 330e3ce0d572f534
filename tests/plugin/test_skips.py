"""Skipped experiments are counted with their reasons, on the terminal and in all files of the report."""

from __future__ import annotations

import json

import pytest

from harness.cluster.protocol import Capability
from tests.plugin.conftest import HANGS, Project

BODY = "faults: [mark: {}]\nobjectives: [told: {}]\n"
CAPPED = "safety: {lastReplica: allowed}\nfaults: [podKill: {selector: app=shop, count: all}]\nobjectives: [told: {}]\n"
OPT_IN = "affects more than its own namespace: add --allow-disruptive"
LACKS = f"this cluster has no {Capability.SCRAPE_LOAD}"
PYTHON = """
import pytest
from harness.cluster.protocol import Capability

@pytest.mark.requires(Capability.SCRAPE_LOAD)
def test_wanting(cluster): pass

@pytest.mark.xfail
def test_expected(cluster): raise ValueError

def test_unrelated(): pytest.skip("no experiment")
"""


def _four(project: Project) -> None:
    project.choice.lacks = frozenset({Capability.SCRAPE_LOAD})
    (project.root / "resilience-guard.yaml").write_text("caps: {workload: {count: 2}}\n")
    project.experiment("held")
    project.experiment("wide", "disruptive: true\n" + BODY)
    project.experiment("refused", CAPPED)
    project.pytester.makepyfile(test_shop=PYTHON)


def _all_in_the_report(project: Project) -> None:
    run = project.record()
    reasons = {skip.name: skip.reason for skip in run.skipped}
    assert set(reasons) == {"wide", "refused", "test_wanting"}
    assert (reasons["wide"], reasons["test_wanting"]) == (OPT_IN, LACKS)
    assert "the guard allows 2" in reasons["refused"]
    assert [record.name for record in run.experiments] == ["held"]
    (folder,) = (project.root / "reports").iterdir()
    for name in ("summary.md", "index.html"):
        text = (folder / name).read_text()
        assert "1 experiment held, 3 skipped." in text
        assert "add --allow-disruptive" in text


def test_skips_are_in_the_banner_and_in_the_report(project: Project) -> None:
    _four(project)
    result = project.run("--cluster", "experiments", "test_shop.py")
    assert result.ret == pytest.ExitCode.OK
    text = " ".join(line.strip() for line in result.outlines)
    assert "HELD: 1 experiment held, 3 skipped." in text
    for expected in (f"skipped: wide: {OPT_IN}", "skipped: refused: ", f"skipped: test_wanting: {LACKS}"):
        assert text.count(expected) == 1
    assert "skipped: test_unrelated" not in text
    assert "skipped: test_expected" not in text
    _all_in_the_report(project)


def test_skips_in_workers_reach_the_banner(project: Project) -> None:
    (project.root / "resilience-guard.yaml").write_text("caps: {workload: {count: 2}}\n")
    project.experiment("held")
    project.experiment("wide", "disruptive: true\n" + BODY)
    project.experiment("refused", CAPPED)
    process = project.start("--cluster", "-p", "xdist", "-n", "2", "experiments")
    text, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, text
    assert "HELD: 1 experiment held, 2 skipped." in text
    assert f"skipped: wide: {OPT_IN}" in text
    (file,) = (project.root / "reports").glob("*/results.json")
    assert {skip["name"] for skip in json.loads(file.read_text())["skipped"]} == {"wide", "refused"}


def test_only_skips_leave_no_report_but_are_listed(project: Project) -> None:
    project.experiment("wide", "disruptive: true\n" + BODY)
    result = project.run("--cluster", "experiments")
    assert result.ret == pytest.ExitCode.OK
    begin = next(index for index, line in enumerate(result.outlines) if " resilience " in line)
    assert result.outlines[begin + 1 : begin + 3] == ["No experiment was run, 1 skipped.", f"skipped: wide: {OPT_IN}"]


def test_plan_ends_with_what_would_run(project: Project) -> None:
    _four(project)
    result = project.run("--cluster", "--plan", "experiments", "test_shop.py::test_wanting")
    (line,) = [line for line in result.outlines if line.startswith("plan: ")]
    assert line.startswith("plan: 1 experiment would run, 2 would not: refused (")
    assert f"; wide ({OPT_IN})" in line
    assert line.endswith("; 1 Python test cannot be planned")
    assert "skipped: " not in result.stdout.str()
    assert not (project.root / "reports").exists()


def test_plan_by_workers_ends_with_one_line(project: Project) -> None:
    project.experiment("held")
    project.experiment("wide", "disruptive: true\n" + BODY)
    process = project.start("--cluster", "--plan", "-p", "xdist", "-n", "2", "experiments")
    text, _ = process.communicate(timeout=HANGS)
    assert f"plan: 1 experiment would run, 1 would not: wide ({OPT_IN})\n" in text
