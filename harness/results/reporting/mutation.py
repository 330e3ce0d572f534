"""Judge the mutants of a run: pure functions of its records, and the sentences about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from harness.model.quantities import counted
from harness.model.verdict import Verdict
from harness.results.mutation_record import MutantRecord, MutatedRecord, MutationRecord, Outcome, WeaknessRecord
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting import overview
from harness.results.reporting.plain import one_line
from harness.results.skip_record import SkipRecord

LEGEND = (
    "A mutant is the same experiment on a workload that lacks one thing. It is caught if it comes out BROKEN, survives "
    "if it is HELD, and is undecided if it is INCONCLUSIVE. The score counts weaknesses: what an operator takes away "
    "from the same objects is one weakness in all experiments, and caught if one of them catches it."
)

# Of several outcomes the first decides.
_BEST: tuple[Outcome, ...] = ("caught", "survived", "undecided", "not judged")


def judged(run: RunRecord, left_out: Sequence[SkipRecord]) -> MutationRecord | None:
    """Return the outcome of every mutant; None for a run without mutants. ``left_out`` are those that did not run."""
    mutated: dict[str, MutatedRecord] = {}
    for id_, name, mutant in (*_of_runs(run), *_of_skips(run, left_out)):
        mutated.setdefault(id_, MutatedRecord(id=id_, name=name)).mutants.append(mutant)
    if not mutated and run.mutation is None:
        return None
    found = weaknesses(mutated.values(), _losses(run))
    outcomes = [each.outcome for each in found]
    caught, survived = outcomes.count("caught"), outcomes.count("survived")
    return MutationRecord(
        caught=caught,
        survived=survived,
        undecided=outcomes.count("undecided"),
        not_judged=outcomes.count("not judged"),
        score=100 * caught / (caught + survived) if caught + survived else None,
        required=run.mutation.required if run.mutation else None,
        weaknesses=found,
        experiments=list(mutated.values()),
    )


def weaknesses(mutated: Iterable[MutatedRecord], losses: Mapping[str, str]) -> list[WeaknessRecord]:
    """Return each weakness that a mutant of the run has or would have. ``losses`` are what operators take away."""
    by_weakness: dict[tuple[str, str, tuple[str, ...]], list[tuple[str, MutantRecord]]] = {}
    for one in mutated:
        for mutant in one.mutants:
            if mutant.weakened or mutant.outcome != "not judged":
                # Records of older versions lack the objects: there each experiment counts by itself.
                alone = "" if mutant.weakened else one.id
                key = (mutant.operator, alone, tuple(mutant.weakened))
                by_weakness.setdefault(key, []).append((one.name, mutant))
    return [
        WeaknessRecord(
            operator=operator,
            weakened=list(objects),
            outcome=min((mutant.outcome for _, mutant in tried), key=_BEST.index),
            lost=losses.get(operator, ""),
            caught_by=[name for name, mutant in tried if mutant.outcome == "caught"],
            survived=[name for name, mutant in tried if mutant.outcome == "survived"],
        )
        for (operator, _, objects), tried in by_weakness.items()
    ]


def _losses(run: RunRecord) -> dict[str, str]:
    return {record.mutant: record.because for record in run.mutants}


def by_operator(mutation: MutationRecord) -> str:
    """Return which operators were caught on at least one workload, if several experiments were mutated; else ""."""
    if len(mutation.experiments) < 2:
        return ""
    tried = {each.operator: False for each in mutation.weaknesses if each.outcome in {"caught", "survived"}}
    tried |= {each.operator: True for each in mutation.weaknesses if each.outcome == "caught"}
    missing = [name for name, caught in tried.items() if not caught]
    text = f"{sum(tried.values())} of {counted(len(tried), 'operator')} caught on at least one workload"
    return text + (f"; never: {', '.join(missing)}" if missing else "")


def survivors(mutation: MutationRecord) -> list[str]:
    """Return a sentence for each weakness that none of several experiments noticed."""
    if len(mutation.experiments) < 2:
        return []
    return [_survivor(each) for each in mutation.weaknesses if each.outcome == "survived"]


def _survivor(weakness: WeaknessRecord) -> str:
    what = f"{weakness.operator} of {', '.join(weakness.weakened)}" if weakness.weakened else weakness.operator
    where = "this experiment" if len(weakness.survived) == 1 else f"these {len(weakness.survived)} experiments"
    return f"survived: {what}: nothing in {where} notices that {weakness.lost}: {', '.join(weakness.survived)}"


def below_required(run: RunRecord) -> bool:
    """Return whether the run must fail because too few mutants were caught."""
    return run.mutation is not None and run.mutation.missed


def records(run: RunRecord) -> dict[str, ExperimentRecord]:
    """Return the records of the mutants that ran, by node ID; of several runs the last one."""
    return {record.id: record for record in run.mutants}


def score_line(mutation: MutationRecord) -> str:
    """Return ``mutation score 75%: 3 of 4 weaknesses caught; at least 90% required``."""
    ran = mutation.caught + mutation.survived
    if mutation.score is None:
        text = "mutation score: no weakness was caught or survived"
    else:
        what = counted(ran, "weakness", "weaknesses")
        text = f"mutation score {mutation.score:.0f}%: {mutation.caught} of {what} caught"
    if mutation.undecided:
        text += f", {mutation.undecided} undecided"
    if mutation.required is not None:
        text += f"; at least {mutation.required:g}% required"
    return text


def heading(mutated: MutatedRecord) -> str:
    """Return ``mutants of NAME: 3 caught, 1 survived``."""
    outcomes = [each.outcome for each in mutated.mutants]
    counts = [f"{outcomes.count(each)} {each}" for each in get_args(Outcome) if each in outcomes]
    return f"mutants of {mutated.name}: {', '.join(counts)}"


def rows(mutated: MutatedRecord) -> list[tuple[str, str, str]]:
    """Return operator, outcome and what caught it or the reason, of each mutant that was judged."""
    return [(each.operator, each.outcome, detail(each)) for each in mutated.mutants if each.outcome != "not judged"]


def left_out(mutated: MutatedRecord) -> list[str]:
    """Return ``not judged: no-startup-probe: has no startup probe``, with all operators that have the same reason."""
    operators: dict[str, list[str]] = {}
    for each in mutated.mutants:
        if each.outcome == "not judged":
            operators.setdefault(each.reason, []).append(each.operator)
    return [one_line(f"not judged: {', '.join(names)}: {reason}", 1000) for reason, names in operators.items()]


def detail(mutant: MutantRecord) -> str:
    """Return what caught a mutant, or its reason; with the twin that ran in its place."""
    text = ", ".join(mutant.caught_by) or mutant.reason
    return f"{text} (covered by the twin {mutant.twin})" if mutant.twin else text


def _of_runs(run: RunRecord) -> Iterable[tuple[str, str, MutantRecord]]:
    for record in run.mutants:
        base = record.id.removesuffix(f"[mutant {record.mutant}]")
        found = MutantRecord(
            id=record.id,
            operator=record.mutant,
            weakened=record.weakened,
            outcome="not judged",
            reason=_unheld(run, base),
        )
        yield base, record.name, found if found.reason else _judged(found, record)


def _of_skips(run: RunRecord, left_out: Iterable[SkipRecord]) -> Iterable[tuple[str, str, MutantRecord]]:
    for skip in left_out:
        suffix = f"[mutant {skip.mutant}]"
        base, name = skip.id.removesuffix(suffix), skip.name.removesuffix(suffix)
        found = MutantRecord(
            id=skip.id,
            operator=skip.mutant,
            weakened=skip.weakened,
            outcome="not judged",
            reason=skip.reason,
            twin=skip.twin,
        )
        twins = [each for each in run.experiments if skip.twin and each.id == f"{base}[{skip.twin}]"]
        if twins:
            unheld = _unheld(run, base)
            found = found.model_copy(update={"reason": unheld}) if unheld else _judged(found, twins[-1])
        yield base, name, found


def _unheld(run: RunRecord, base: str) -> str:
    """Return why mutants of an experiment are not judged, or ""."""
    records = [each for each in run.experiments if each.id == base and not each.twin]
    if not records:
        return "its experiment has no verdict in this run"
    verdicts = [overview.contribution(each) for each in records]
    other = next((each for each in verdicts if each is not Verdict.HELD), None)
    return f"its experiment did not hold in this run: {other}" if other else ""


def _judged(mutant: MutantRecord, record: ExperimentRecord) -> MutantRecord:
    """Return the mutant with the outcome of the record of its run, or of the twin that ran in its place."""
    outcome, reason = outcome_of(record), overview.reason(record)
    if outcome == "survived":
        what = f"what its twin {record.twin} lacks" if record.twin else f"that {record.because}"
        reason = f"nothing in this experiment notices {what}"
    caught_by = _missed(record) if outcome == "caught" else []
    return mutant.model_copy(update={"outcome": outcome, "caught_by": caught_by, "reason": reason})


def outcome_of(record: ExperimentRecord) -> Outcome:
    """Return the outcome of a mutant by its own verdict, whatever that of its experiment is."""
    if record.standing is Verdict.BROKEN and _missed(record):
        return "caught"
    return "survived" if record.standing is Verdict.HELD else "undecided"


def _missed(record: ExperimentRecord) -> list[str]:
    return [each.title for each in record.objectives if each.verdict is Verdict.BROKEN]
