"""Annotations of GitHub Actions: level, file, line and escaped text of every objective that is not HELD."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, ObjectiveRecord
from harness.results.reporting.annotations import MAX_MESSAGE, Annotation, Level, Places, of_record, of_skip
from harness.results.skip_record import SkipRecord

FILE = """\
apiVersion: resilience/v1
kind: Experiment
metadata:
  name: shop
objectives:
  - availability: {atLeast: 99%}
  - latency:
      p95: 200ms
  - availability: {atLeast: 90%}
twins:
  lame:
    breaks: [availability]
"""
NODE = "experiments/shop.yaml::shop"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "sub" / "experiments").mkdir(parents=True)
    (tmp_path / "sub" / "experiments" / "shop.yaml").write_text(FILE)
    return Places(root=tmp_path / "sub", workspace=tmp_path, lines={"tests/test_a.py::test_a": 7})


def finding(kind: str, verdict: Verdict) -> ObjectiveRecord:
    return ObjectiveRecord(kind=kind, title=kind, verdict=verdict, reason=f"{kind} is {verdict}")


def record(
    verdict: Verdict, *objectives: ObjectiveRecord, node: str = NODE, twin: str = "", passed: bool = False
) -> ExperimentRecord:
    found = ExperimentRecord(id=node, name="shop", twin=twin, stage="closed", verdict=verdict, reason="as it is")
    return found.model_copy(update={"objectives": list(objectives), "passed": passed})


def test_broken_objective_is_an_error_at_its_line(places: Places) -> None:
    objectives = [
        finding("availability", Verdict.BROKEN),
        finding("latency", Verdict.INCONCLUSIVE),
        finding("availability", Verdict.BROKEN),
    ]
    found = of_record(record(Verdict.BROKEN, *objectives), places)
    lines = [(each.level, each.file, each.line) for each in found]
    file = "sub/experiments/shop.yaml"
    assert lines == [(Level.ERROR, file, 6), (Level.WARNING, file, 7), (Level.ERROR, file, 9)]
    assert found[0].title == "BROKEN: shop: availability"
    assert found[0].message == "availability is BROKEN"


def test_held_experiment_has_no_annotation(places: Places) -> None:
    assert of_record(record(Verdict.HELD, finding("latency", Verdict.HELD), passed=True), places) == []


def test_inconclusive_without_objective_is_at_the_name(places: Places) -> None:
    (found,) = of_record(record(Verdict.INCONCLUSIVE, finding("latency", Verdict.HELD)), places)
    assert (found.level, found.line, found.message) == (Level.WARNING, 4, "as it is")


def test_broken_verdict_with_other_findings_keeps_its_reason(places: Places) -> None:
    found = of_record(record(Verdict.BROKEN, finding("latency", Verdict.INCONCLUSIVE)), places)
    assert [(each.level, each.line) for each in found] == [(Level.ERROR, 4), (Level.WARNING, 7)]


def test_twin_that_did_not_break_is_at_its_name(places: Places) -> None:
    (found,) = of_record(record(Verdict.HELD, finding("availability", Verdict.HELD), twin="lame"), places)
    assert (found.level, found.line) == (Level.WARNING, 11)
    assert found.title == "INCONCLUSIVE: shop, twin lame"


def test_series_in_another_order_finds_the_kind(places: Places) -> None:
    (found,) = of_record(record(Verdict.BROKEN, finding("latency", Verdict.BROKEN)), places)
    assert found.line == 7


@pytest.mark.parametrize("text", ["objectives: [1, {}, latency]\n", "objectives: 5\n", "[]\n", "a: [\n"])
def test_file_that_changed_since_is_harmless(places: Places, text: str) -> None:
    places.file(NODE).write_text(text)
    (found,) = of_record(record(Verdict.BROKEN, finding("latency", Verdict.BROKEN)), places)
    assert found.file == "sub/experiments/shop.yaml"


def test_file_that_is_gone_has_no_line(places: Places) -> None:
    places.file(NODE).unlink()
    (found,) = of_record(record(Verdict.BROKEN, finding("latency", Verdict.BROKEN)), places)
    assert (found.file, found.line) == ("sub/experiments/shop.yaml", None)


def test_python_test_is_at_its_function(places: Places) -> None:
    node = "tests/test_a.py::test_a"
    (found,) = of_record(record(Verdict.BROKEN, finding("latency", Verdict.BROKEN), node=node), places)
    assert (found.file, found.line) == ("sub/tests/test_a.py", 7)


def test_file_outside_the_workspace_keeps_its_path(places: Places, tmp_path: Path) -> None:
    elsewhere = Places(places.root, tmp_path / "other", {})
    (found,) = of_record(record(Verdict.BROKEN, finding("latency", Verdict.BROKEN)), elsewhere)
    assert found.file == str((places.root / "experiments/shop.yaml").resolve())


def test_skip_is_a_notice(places: Places) -> None:
    found = of_skip(SkipRecord(id=NODE, name="shop", reason="no --allow-disruptive"), places)
    assert str(found) == "::notice file=sub/experiments/shop.yaml,line=4,title=skipped%3A shop::no --allow-disruptive"
    twin = of_skip(SkipRecord(id=f"{NODE}[lame]", name="shop[lame]", twin="lame", reason="halt"), places)
    assert twin.line == 11


def test_properties_and_message_are_escaped() -> None:
    found = Annotation(Level.ERROR, "a: 5%, b", "99% of:\nx,\r\n::set-env::", "a,b:c%.yaml", 3)
    expected = "::error file=a%2Cb%3Ac%25.yaml,line=3,title=a%3A 5%25%2C b::99%25 of:%0Ax, %0A::set-env::"
    assert str(found) == expected


def test_annotation_is_one_line_of_harmless_text() -> None:
    text = str(Annotation(Level.ERROR, "a\nb\x1b[31m\u202e", "c\x1b[0m\u2028d\n" * MAX_MESSAGE))
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < 3 * MAX_MESSAGE
    assert str(Annotation(Level.NOTICE, "", "only")) == "::notice::only"
