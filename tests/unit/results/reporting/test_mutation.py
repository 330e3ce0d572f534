"""The outcome of every mutant, the score, and how both are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.model.verdict import Verdict
from harness.results.mutation_record import MutantRecord, MutationRecord
from harness.results.record import ExperimentRecord, ObjectiveRecord, RunRecord
from harness.results.reporting.html import render
from harness.results.reporting.markdown import render_markdown
from harness.results.reporting.mutation import below_required, by_operator, left_out, score_line, survivors
from harness.results.reporting.overview import headline, run_verdict
from harness.results.reporting.store import RunStore, load
from harness.results.reporting.summary import terminal_lines
from harness.results.skip_record import SkipRecord

BASE = "a.yaml::shop"
HOSTILE = "<script>alert(1)</script>"


def _record(
    verdict: Verdict,
    *,
    mutant: str = "",
    twin: str = "",
    stage: str = "closed",
    name: str = "shop",
    weakened: tuple[str, ...] = (),
) -> ExperimentRecord:
    suffix = f"[mutant {mutant}]" if mutant else f"[{twin}]" if twin else ""
    made = ExperimentRecord(
        id=BASE.replace("shop", name) + suffix,
        name=name,
        file="a.yaml",
        mutant=mutant,
        weakened=list(weakened),
        twin=twin,
        because="the probe is gone" if mutant else "",
        stage=stage,  # type: ignore[arg-type]
        verdict=verdict,
        reason=f"it was {verdict}",
        passed=verdict is (Verdict.BROKEN if mutant or twin else Verdict.HELD),
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:00:30Z",
    )
    made.objectives = [
        ObjectiveRecord(kind="availability", title=title, verdict=found, reason="so")
        for title, found in (("availability at least 99%", verdict), ("latency", Verdict.HELD))
    ]
    return made


def _run(
    folder: Path, *records: ExperimentRecord, skipped: tuple[SkipRecord, ...] = (), required: float | None = None
) -> RunRecord:
    """Return the merged run of these records."""
    store = RunStore(folder)
    for record in records:
        store.save(record)
    mutation = MutationRecord(required=required)
    run = RunRecord(run="run1", started="2026-01-01T00:00:00Z", seed=1, harness="0", skipped=list(skipped))
    return store.merge(run.model_copy(update={"mutation": mutation, "finished": "2026-01-01T00:10:00Z"}))


def _skip(mutant: str, reason: str, twin: str = "") -> SkipRecord:
    suffix = f"[mutant {mutant}]"
    return SkipRecord(id=BASE + suffix, name="shop" + suffix, mutant=mutant, twin=twin, reason=reason)


def _outcomes(run: RunRecord) -> dict[str, MutantRecord]:
    assert run.mutation is not None
    return {each.operator: each for one in run.mutation.experiments for each in one.mutants}


def test_verdicts_become_outcomes_and_a_score(tmp_path: Path) -> None:
    run = _run(
        tmp_path,
        _record(Verdict.HELD),
        _record(Verdict.BROKEN, mutant="a"),
        _record(Verdict.HELD, mutant="b"),
        _record(Verdict.INCONCLUSIVE, mutant="c"),
        _record(Verdict.BROKEN, mutant="d", stage="judged"),
        skipped=(_skip("e", "has no probe"),),
    )
    found = _outcomes(run)
    assert {name: each.outcome for name, each in found.items()} == {
        "a": "caught",
        "b": "survived",
        "c": "undecided",
        # The search for leftovers did not end, so that the verdict is not final.
        "d": "undecided",
        "e": "not judged",
    }
    assert found["a"].caught_by == ["availability at least 99%"]
    assert found["b"].reason == "nothing in this experiment notices that the probe is gone"
    assert run.mutation is not None
    counts = (run.mutation.caught, run.mutation.survived, run.mutation.undecided, run.mutation.not_judged)
    assert counts == (1, 1, 2, 0)
    assert run.mutation.score == 50


def test_mutants_do_not_count_as_experiments(tmp_path: Path) -> None:
    mutants = [_record(Verdict.BROKEN, mutant="a"), _record(Verdict.INCONCLUSIVE, mutant="b")]
    run = _run(tmp_path, _record(Verdict.HELD), *mutants, skipped=(_skip("c", "x"),))
    assert run_verdict(run) is Verdict.HELD
    assert headline(run) == "1 experiment held."
    assert [record.mutant for record in run.mutants] == ["a", "b"]
    assert [record.mutant for record in run.everything] == ["", "a", "b"]
    assert run.skipped == []


@pytest.mark.parametrize("verdict", [Verdict.BROKEN, Verdict.INCONCLUSIVE])
def test_mutants_are_not_judged_beside_what_did_not_hold(tmp_path: Path, verdict: Verdict) -> None:
    # With pytest-xdist a mutant may have run before its experiment ended.
    run = _run(tmp_path, _record(verdict), _record(Verdict.BROKEN, mutant="a"))
    found = _outcomes(run)["a"]
    assert (found.outcome, found.reason) == ("not judged", f"its experiment did not hold in this run: {verdict}")
    assert run.mutation is not None
    assert run.mutation.score is None


def test_mutant_without_its_experiment_is_not_judged(tmp_path: Path) -> None:
    found = _outcomes(_run(tmp_path, _record(Verdict.BROKEN, mutant="a")))["a"]
    assert (found.outcome, found.reason) == ("not judged", "its experiment has no verdict in this run")


@pytest.mark.parametrize(
    ("verdict", "outcome", "reason"),
    [
        (Verdict.BROKEN, "caught", "it was BROKEN"),
        (Verdict.HELD, "survived", "nothing in this experiment notices what its twin weak lacks"),
        (Verdict.INCONCLUSIVE, "undecided", "it was INCONCLUSIVE"),
    ],
)
def test_twin_gives_the_outcome_of_a_covered_mutant(
    tmp_path: Path, verdict: Verdict, outcome: str, reason: str
) -> None:
    twin = _record(verdict, twin="weak")
    run = _run(tmp_path, _record(Verdict.HELD), twin, skipped=(_skip("a", "covered by the twin weak", "weak"),))
    found = _outcomes(run)["a"]
    assert (found.outcome, found.reason, found.twin) == (outcome, reason, "weak")


def test_covered_mutant_needs_its_twin(tmp_path: Path) -> None:
    run = _run(tmp_path, _record(Verdict.HELD), skipped=(_skip("a", "covered by the twin weak", "weak"),))
    assert _outcomes(run)["a"].outcome == "not judged"


@pytest.mark.parametrize(("required", "missed"), [(None, False), (50, False), (51, True)])
def test_required_score(tmp_path: Path, required: float | None, missed: bool) -> None:
    mutants = [_record(Verdict.BROKEN, mutant="a"), _record(Verdict.HELD, mutant="b")]
    run = _run(tmp_path, _record(Verdict.HELD), *mutants, required=required)
    assert below_required(run) is missed


def test_required_score_is_missed_without_a_judged_mutant(tmp_path: Path) -> None:
    run = _run(tmp_path, _record(Verdict.HELD), _record(Verdict.INCONCLUSIVE, mutant="a"), required=1)
    assert below_required(run)
    assert run.mutation is not None
    assert score_line(run.mutation) == (
        "mutation score: no weakness was caught or survived, 1 undecided; at least 1% required"
    )


def test_run_without_mutants_has_no_section(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.save(_record(Verdict.HELD))
    run = store.merge(RunRecord(run="run1", started="2026-01-01T00:00:00Z", seed=1, harness="0"))
    assert run.mutation is None
    assert not below_required(run)
    assert "utant" not in render_markdown(run) + str(terminal_lines(run))
    assert 'id="mutants"' not in render(run)


def test_interrupted_run_has_the_mutants_that_ran(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.save(_record(Verdict.HELD))
    store.save(_record(Verdict.BROKEN, mutant="a"))
    store.write(RunRecord(run="run1", started="2026-01-01T00:00:00Z", seed=1, harness="0"))
    assert _outcomes(load(tmp_path))["a"].outcome == "caught"


def test_terminal_markdown_and_report_show_every_mutant(tmp_path: Path) -> None:
    run = _run(
        tmp_path,
        _record(Verdict.HELD),
        _record(Verdict.BROKEN, mutant="a"),
        _record(Verdict.HELD, mutant="bb"),
        skipped=(_skip("c", "has no probe"), _skip("d", "has no probe"), _skip("e", HOSTILE)),
    )
    lines = terminal_lines(run, width=100)
    rows = [(line.split(None, 2), style) for line, style in lines]
    assert (["a", "caught", "availability at least 99%"], "green") in rows
    assert (["bb", "survived", "nothing in this experiment notices that the probe is gone"], "yellow") in rows
    assert ("not judged: c, d: has no probe", "") in lines
    assert ("mutation score 50%: 1 of 2 weaknesses caught", "bold") in lines
    assert max(len(line) for line, _ in terminal_lines(run, width=60)) <= 60
    text = render_markdown(run)
    assert "| bb | survived | nothing in this experiment notices that the probe is gone |" in text
    assert "**mutation score 50%: 1 of 2 weaknesses caught**" in text
    page = render(run)
    assert "<b>Mutation score 50%: 1 of 2 weaknesses caught</b>" in page
    assert "nothing in this experiment notices that the probe is gone" in page
    assert "Not judged: c, d: has no probe" in page
    assert "the probe is gone</bdi>" in page
    assert HOSTILE not in page + text


SHOP, OTHER = ("deployment/shop",), ("deployment/other",)


def test_one_experiment_that_notices_a_weakness_is_enough(tmp_path: Path) -> None:
    run = _run(
        tmp_path,
        _record(Verdict.HELD),
        _record(Verdict.HELD, name="cart"),
        _record(Verdict.HELD, mutant="a", weakened=SHOP),
        _record(Verdict.BROKEN, mutant="a", weakened=SHOP, name="cart"),
        _record(Verdict.HELD, mutant="b", weakened=SHOP),
        _record(Verdict.HELD, mutant="b", weakened=SHOP, name="cart"),
    )
    assert run.mutation is not None
    found = {each.operator: (each.outcome, each.caught_by, each.survived) for each in run.mutation.weaknesses}
    assert found == {"a": ("caught", ["cart"], ["shop"]), "b": ("survived", [], ["cart", "shop"])}
    assert (run.mutation.score, run.mutation.caught, run.mutation.survived) == (50, 1, 1)
    line = "survived: b of deployment/shop: nothing in these 2 experiments notices that the probe is gone: cart, shop"
    assert survivors(run.mutation) == [line]
    text = "1 of 2 operators caught on at least one workload; never: b"
    assert by_operator(run.mutation) == text
    assert (text, "") in terminal_lines(run, width=200)
    assert text in render_markdown(run)
    assert text in render(run)
    assert (line, "yellow") in terminal_lines(run, width=200)
    assert f"- {line}" in render_markdown(run)
    assert "Survived: b of deployment/shop: nothing in these 2 experiments" in render(run)


def test_same_operator_on_other_objects_is_another_weakness(tmp_path: Path) -> None:
    run = _run(
        tmp_path,
        _record(Verdict.HELD),
        _record(Verdict.HELD, name="cart"),
        _record(Verdict.HELD, mutant="a", weakened=SHOP),
        _record(Verdict.BROKEN, mutant="a", weakened=OTHER, name="cart"),
    )
    assert run.mutation is not None
    assert {tuple(each.weakened): each.outcome for each in run.mutation.weaknesses} == {
        SHOP: "survived",
        OTHER: "caught",
    }


def test_weakness_that_was_not_tried_counts_neither_way(tmp_path: Path) -> None:
    skip = _skip("a", "already caught by cart").model_copy(update={"weakened": list(SHOP)})
    run = _run(
        tmp_path,
        _record(Verdict.HELD),
        _record(Verdict.HELD, name="cart"),
        _record(Verdict.BROKEN, mutant="a", weakened=SHOP, name="cart"),
        skipped=(skip, _skip("b", "no part").model_copy(update={"weakened": list(SHOP)})),
    )
    assert run.mutation is not None
    assert {each.operator: each.outcome for each in run.mutation.weaknesses} == {"a": "caught", "b": "not judged"}
    assert (run.mutation.score, run.mutation.not_judged) == (100, 1)


def test_reasons_are_grouped(tmp_path: Path) -> None:
    run = _run(tmp_path, _record(Verdict.HELD), skipped=(_skip("a", "x"), _skip("b", "y"), _skip("c", "x")))
    assert run.mutation is not None
    assert left_out(run.mutation.experiments[0]) == ["not judged: a, c: x", "not judged: b: y"]
