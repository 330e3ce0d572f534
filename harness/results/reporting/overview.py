"""The overview of a run, common to the report, the terminal and the CI summary: what broke, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from harness.model.finding import DISAGREEMENT
from harness.model.quantities import counted
from harness.model.verdict import Verdict, worst
from harness.results.record import BesideRecord, ClockRecord, ExperimentRecord, ObjectiveRecord, RunRecord
from harness.results.reporting import figures
from harness.results.series_record import DistributionRecord

CLOCKS = ("user", "endpoints", "control plane", "prometheus")
LEGEND = {
    Verdict.HELD: "every objective was met, and there is evidence that the fault took effect",
    Verdict.BROKEN: "an objective was not met",
    Verdict.INCONCLUSIVE: "the data is not sufficient for either; does not count as passed",
}
TWIN_LEGEND = (
    "A twin is the same experiment on a deliberately weakened workload. It must be BROKEN: "
    "an experiment that cannot fail proves nothing."
)

_ORDER = {Verdict.BROKEN: 0, Verdict.INCONCLUSIVE: 1, Verdict.HELD: 2}
# From worst to best. "No data" comes before "recovered", because missing data is not a pass.
_STATES = ("not recovered", "no data", "recovered", "not disrupted")


@dataclass(frozen=True, slots=True)
class Family:
    """An experiment with its twins; ``experiment`` is None if only a twin was selected."""

    name: str
    experiment: ExperimentRecord | None = None
    twins: list[ExperimentRecord] = field(default_factory=list)

    @property
    def members(self) -> list[ExperimentRecord]:
        return [*([self.experiment] if self.experiment else []), *self.twins]


def families(run: RunRecord) -> list[Family]:
    """Group experiments with their twins: BROKEN first, then INCONCLUSIVE, otherwise in the order of their start."""
    found: dict[tuple[str, str, int], list[ExperimentRecord]] = {}
    for record in run.experiments:
        found.setdefault((record.file, record.name, record.round), []).append(record)
    grouped: list[Family] = []
    for (_, name, _), records in found.items():
        own = [record for record in records if not record.twin]
        # If the same experiment ran twice (with different node IDs), each further one is a separate family.
        grouped.extend(Family(name, record) for record in own[1:])
        grouped.append(Family(name, own[0] if own else None, [record for record in records if record.twin]))
    return sorted(grouped, key=lambda family: min(_ORDER[contribution(member)] for member in family.members))


def contribution(record: ExperimentRecord) -> Verdict:
    """Return the contribution of an experiment or twin to the run's verdict.

    A twin that broke as expected contributes HELD. One that did not contributes INCONCLUSIVE, since it shows that the
    experiment cannot fail.
    """
    if not record.has_verdict:
        return Verdict.INCONCLUSIVE
    if record.twin:
        return Verdict.HELD if record.passed else Verdict.INCONCLUSIVE
    # HELD without `passed` is not a pass either, for example when leftovers were found after the verdict.
    return record.verdict if record.passed or record.verdict is not Verdict.HELD else Verdict.INCONCLUSIVE


def run_verdict(run: RunRecord) -> Verdict:
    """Return the worst contribution, and that of a game day; INCONCLUSIVE if nothing was run."""
    day = [run.game_day.verdict] if run.game_day else []
    return worst([*day, *(contribution(record) for record in run.experiments)])


def headline(run: RunRecord) -> str:
    """Summarise the whole run: one or two sentences."""
    skipped = sum(not skip.twin for skip in run.skipped)
    if not run.experiments:
        return f"No experiment was run{f', {len(run.skipped)} skipped' if run.skipped else ''}."
    ended = [record for record in run.experiments if not record.cut_short]
    own = [contribution(record) for record in ended if not record.twin]
    twins = [record.passed for record in ended if record.twin]
    cut = [bool(record.twin) for record in run.experiments if record.cut_short]
    sentences = []
    if own or False in cut:
        words = {Verdict.BROKEN: "broke", Verdict.INCONCLUSIVE: "inconclusive", Verdict.HELD: "held"}
        counts = [f"{own.count(verdict)} {word}" for verdict, word in words.items() if verdict in own]
        counts += [f"{cut.count(False)} interrupted"] * (False in cut)
        ran = len(own) + cut.count(False)
        rest = [f"{skipped} skipped"] if skipped else []
        if len(counts) == 1:
            outcomes = ", ".join([counts[0].partition(" ")[2], *rest])
            sentences.append(f"{counted(ran, 'experiment')} {outcomes}.")
        else:
            sentences.append(f"{counted(ran + skipped, 'experiment')}: {', '.join(counts + rest)}.")
    elif skipped:
        sentences.append(f"{counted(skipped, 'experiment')} skipped.")
    if twins:
        idle = twins.count(False)
        sentences.append(
            f"{_idle(idle, len(twins))} did not break: an experiment that cannot fail proves nothing."
            if idle
            else f"{counted(len(twins), 'twin')} broke as expected."
        )
    if True in cut:
        # An interruption shows nothing about the twin.
        sentences.append(f"{counted(cut.count(True), 'twin')} interrupted.")
    if len(run.skipped) > skipped:
        sentences.append(f"{counted(len(run.skipped) - skipped, 'twin')} skipped.")
    return " ".join(sentences)


def _idle(idle: int, twins: int) -> str:
    return counted(idle, "twin") if idle == twins else f"{idle} of {counted(twins, 'twin')}"


def item_name(record: ExperimentRecord) -> str:
    """Return the experiment's name, with the twin's name and the numbers of the round and the rerun, if any."""
    return (f"{record.name}, twin {record.twin}" if record.twin else record.name) + record.repetition


def overruled(run: RunRecord) -> list[str]:
    """Return a sentence for each experiment that a pytest plug-in ran again after an attempt that did not pass."""
    items: dict[tuple[str, str], list[ExperimentRecord]] = {}
    for record in run.experiments:
        items.setdefault((record.id, record.twin), []).append(record)
    return [
        f"{item_name(attempts[0])} was run {len(attempts)} times: {', '.join(map(verdict_text, attempts))}. "
        "Every attempt counts; to judge several attempts together use --repeat instead of reruns."
        for attempts in items.values()
        if len(attempts) > 1 and not all(attempt.passed for attempt in attempts)
    ]


def reason(record: ExperimentRecord) -> str:
    """Return the reason of the verdict, or why there is none."""
    if record.has_verdict:
        return record.reason
    stage = "it was observed but not judged" if record.stage == "observed" else "it did not run to its end"
    text = f"the run ended before the verdict: {stage}"
    return f"{text} ({record.reason})" if record.reason else text


def outcome(record: ExperimentRecord) -> str:
    """For a twin, describe whether it broke what it must break; "" for an experiment."""
    if not record.twin:
        return ""
    must = " and ".join(record.breaks) or "an objective"
    if not record.has_verdict:
        return f"must break {must}; not judged"
    if record.interrupted:
        return f"must break {must}; interrupted"
    return f"broke {must}, as expected" if record.passed else f"must break {must}, but did not"


def verdict_text(record: ExperimentRecord) -> str:
    """Return ``HELD`` or ``BROKEN, as expected``; for a series with the share of expected outcomes: ``HELD 9/10``."""
    text = str(record.standing)
    if record.series:
        text += f" {record.series.as_should}/{record.series.as_should + record.series.otherwise}"
    return f"{text}, as expected" if record.twin and record.passed else text


def recoveries(record: ExperimentRecord) -> dict[str, ClockRecord]:
    """Return the slowest recovery of each clock, of those that an objective uses."""
    found: dict[str, ClockRecord] = {}
    for clock in sorted(record.recovery, key=_severity):
        if clock.judged:
            found.setdefault(clock.clock, clock)
    return found


def clocks(record: ExperimentRecord) -> list[ClockRecord]:
    """Return all clocks of all subjects: judged ones first, the user clock first among them."""
    return sorted(record.recovery, key=lambda clock: (not clock.judged, CLOCKS.index(clock.clock)))


def clock_text_in_full(clock: ClockRecord) -> str:
    """Format the recovery of one clock, with notes if it counts from the undo or was not judged."""
    notes = ["since the undo"] * (clock.since == "undone") + ["not judged"] * (not clock.judged)
    return recovery_text(clock) + (f" ({', '.join(notes)})" if notes else "")


def disagreements(record: ExperimentRecord) -> list[str]:
    """Return the contradictions between load and prober on an outage, by objective."""
    found = ((objective.title, objective.detail.get(DISAGREEMENT)) for objective in record.objectives)
    return [f"{title}: {DISAGREEMENT}: {text}" for title, text in found if text]


def _severity(clock: ClockRecord) -> tuple[int, float]:
    return _STATES.index(clock.state), -(clock.high or clock.low or 0.0)


def recovery_text(clock: ClockRecord | None) -> str:
    """Format the recovery of one clock: ``4.2–4.6 s``, ``no outage``, ``did not recover``, ``no data``."""
    if clock is None:
        return ""
    if clock.state == "recovered":
        return figures.between(clock.low, clock.high) or "recovered"
    if clock.state == "not recovered" and clock.low is not None:
        return f"did not recover (over {figures.seconds(clock.low)})"
    return {"not recovered": "did not recover", "not disrupted": "no outage", "no data": "no data"}[clock.state]


def distribution_text(found: DistributionRecord) -> str:
    """Format the recoveries of a series: ``p50 1.1–1.2 s, p95 2 s, max 2.1 s``, or ``no outage``."""
    if found.undisrupted == found.attempts:
        return "no outage"
    shown = {each.name: figures.between(each.low, each.high) for each in found.quantiles}
    # With fewer than 20 attempts the p95 equals the maximum and is not repeated.
    return ", ".join(
        f"{name} {shown[name]}"
        for name in ("p50", "p95", "max")
        if name in shown and (name == "max" or shown[name] != shown.get("max"))
    )


def clock_text(record: ExperimentRecord, clock: str) -> str:
    """Format the recovery of one clock, for a series that of all attempts; "" if the clock has no result."""
    if record.series is None:
        return recovery_text(recoveries(record).get(clock))
    found = next((each for each in record.series.recovery if each.clock == clock), None)
    return distribution_text(found) if found else ""


def time_to_recover(record: ExperimentRecord) -> str:
    """Format the recovery with its clock: ``8.1 s (user)``, ``no outage (user), 7.3–7.4 s (endpoints)``.

    The user clock comes first, since it measures the outage for users. If it saw none, the first clock that did
    follows.
    """
    if record.series:
        texts = {name: clock_text(record, name) for name in CLOCKS}
        first = next((name for name in CLOCKS if texts[name] not in {"", "no outage"}), None)
        first = first or next((name for name in CLOCKS if texts[name]), None)
        return f"{texts[first]} ({first})" if first else ""
    found = recoveries(record)
    seen = [found[clock] for clock in CLOCKS if clock in found and found[clock].state != "no data"]
    if not seen:
        return "no data" if found else ""
    shown = seen[:1]
    if seen[0].state == "not disrupted":
        shown += [clock for clock in seen[1:] if clock.state != "not disrupted"][:1]
    return ", ".join(f"{recovery_text(clock)} ({clock.clock})" for clock in shown)


class Measured(Protocol):
    """The numbers of a finding or of its record."""

    @property
    def verdict(self) -> Verdict: ...
    @property
    def margin(self) -> float | None: ...
    @property
    def limit(self) -> float | None: ...
    @property
    def comparison(self) -> str: ...
    @property
    def unit(self) -> str: ...


M = TypeVar("M", bound=Measured)


def tightest(objectives: Sequence[M]) -> M | None:
    """Return the objective closest to its limit or furthest beyond it: BROKEN ones first, then INCONCLUSIVE ones."""
    return min(objectives, key=_tightness, default=None)


def _tightness(objective: Measured) -> tuple[int, bool, float]:
    # The margin of a count that is HELD means little ("no write lost" is always at its limit), so measurements come
    # first.
    counted = objective.verdict is Verdict.HELD and objective.unit not in figures.MEASURED
    return _ORDER[objective.verdict], counted, slack(objective)


def slack(objective: Measured) -> float:
    """Return the margin relative to the error budget of a share, or to the limit for other units."""
    if objective.margin is None or objective.limit is None:
        return float("inf")
    budget = abs(objective.limit)
    # Half a point means little for a limit of 50 %, but is five times the whole error budget of a limit of 99.9 %.
    if objective.comparison == ">=" and objective.unit in {"%", *figures.SHARES}:
        budget = (100 if objective.unit == "%" else 1) - objective.limit
    return objective.margin / budget if budget else objective.margin


def observed_text(objective: ObjectiveRecord) -> str:
    """Return ``97.2%``, or a dash without a number."""
    if objective.observed is None:
        return "–"
    return figures.quantity(objective.observed, objective.unit, objective.limit)


def limit_text(objective: ObjectiveRecord) -> str:
    """Return ``at least 99.9%``, or "" without a limit."""
    if objective.limit is None:
        return ""
    words = figures.COMPARISONS.get(objective.comparison, objective.comparison)
    return f"{words} {figures.quantity(objective.limit, objective.unit)}".strip()


def bounds_text(objective: ObjectiveRecord) -> str:
    """Return the bounds of the observation: ``99.95–99.99%``."""
    if objective.low is not None and objective.low == objective.high:
        return ""
    return figures.between(objective.low, objective.high, objective.unit)


def finding_text(objective: ObjectiveRecord) -> str:
    """Return an objective in one line: ``recovery of deployment/web: 7.4 s (at most 20 s), +12.6 s``.

    The limit is omitted if the title contains it.
    """
    if objective.observed is None:
        return f"{objective.title}: {'no number' if objective.verdict is not Verdict.INCONCLUSIVE else 'not judged'}"
    limit = objective.limit is not None and limit_text(objective)
    in_title = not limit or figures.quantity(objective.limit or 0.0, objective.unit) in objective.title
    parts = [observed_text(objective) + ("" if in_title else f" ({limit})"), margin_text(objective)]
    return f"{objective.title}: {', '.join(part for part in parts if part)}"


def control_text(objective: ObjectiveRecord) -> str:
    """Return the observation on the control arm: ``99.9%``; "" without a control arm, a dash without a number."""
    if objective.control is None:
        return ""
    if objective.control.observed is None:
        return "–"
    # With the limit of the objective, so that it has as many decimals as the value of the arm under fault.
    return figures.quantity(objective.control.observed, objective.unit, objective.limit)


def difference_text(beside: BesideRecord) -> str:
    """Return the difference to the control arm, ``−1.2 points (−1.9 to −0.7 points)``, or "" without one."""
    if beside.difference is None or beside.difference_low is None or beside.difference_high is None:
        return ""
    low, high = (figures.margin(bound, "%") for bound in (beside.difference_low, beside.difference_high))
    return f"{figures.margin(beside.difference, '%')} ({low.partition(figures.NBSP)[0]} to {high})"


def margin_text(objective: ObjectiveRecord) -> str:
    """Return the margin, ``−2.7 points``, or "" without one."""
    return "" if objective.margin is None else figures.margin(objective.margin, objective.unit)
