"""What a reader must see first, the same in the report, the terminal and a CI summary: what broke, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from harness.record import BesideRecord, ClockRecord, ExperimentRecord, ObjectiveRecord, RunRecord
from harness.reporting import figures
from harness.series_record import DistributionRecord
from harness.verdict import Verdict, worst

CLOCKS = ("user", "endpoints", "control plane", "prometheus")
LEGEND = {
    Verdict.HELD: "every objective was met, and the fault is proven to have bitten",
    Verdict.BROKEN: "an objective was missed",
    Verdict.INCONCLUSIVE: "too little was shown to say either; never a pass",
}
TWIN_LEGEND = (
    "A twin is the same experiment on a deliberately weakened workload. It must come out BROKEN: "
    "an experiment that cannot fail proves nothing."
)

_ORDER = {Verdict.BROKEN: 0, Verdict.INCONCLUSIVE: 1, Verdict.HELD: 2}
_STATES = ("not recovered", "no data", "recovered", "not disrupted")


@dataclass(frozen=True, slots=True)
class Family:
    """An experiment with its twins; without the experiment itself when only a twin was selected."""

    name: str
    experiment: ExperimentRecord | None = None
    twins: list[ExperimentRecord] = field(default_factory=list)

    @property
    def members(self) -> list[ExperimentRecord]:
        return [*([self.experiment] if self.experiment else []), *self.twins]


def families(run: RunRecord) -> list[Family]:
    """The experiments with their twins: what broke first, then what is inconclusive, else in the order they started."""
    found: dict[tuple[str, str], list[ExperimentRecord]] = {}
    for record in run.experiments:
        found.setdefault((record.file, record.name), []).append(record)
    grouped: list[Family] = []
    for (_, name), records in found.items():
        own = [record for record in records if not record.twin]
        # The same experiment twice (another node id) stays visible: each further one heads a family of its own.
        grouped.extend(Family(name, record) for record in own[1:])
        grouped.append(Family(name, own[0] if own else None, [record for record in records if record.twin]))
    return sorted(grouped, key=lambda family: min(_ORDER[contribution(member)] for member in family.members))


def contribution(record: ExperimentRecord) -> Verdict:
    """What an experiment adds to the run's verdict. A twin that broke as it must adds HELD; one that did not shows that
    the experiment cannot fail, so that nothing can be concluded from it."""
    if not record.has_verdict:
        return Verdict.INCONCLUSIVE
    if record.twin:
        return Verdict.HELD if record.passed else Verdict.INCONCLUSIVE
    return record.verdict if record.passed or record.verdict is not Verdict.HELD else Verdict.INCONCLUSIVE


def run_verdict(run: RunRecord) -> Verdict:
    """The worst of all; INCONCLUSIVE when nothing was run."""
    return worst(contribution(record) for record in run.experiments)


def headline(run: RunRecord) -> str:
    """One sentence on the whole run."""
    if not run.experiments:
        return "No experiment was run."
    own = [contribution(record) for record in run.experiments if not record.twin]
    twins = [record.passed for record in run.experiments if record.twin]
    sentences = []
    if own:
        words = {Verdict.BROKEN: "broke", Verdict.INCONCLUSIVE: "inconclusive", Verdict.HELD: "held"}
        counts = [f"{own.count(verdict)} {word}" for verdict, word in words.items() if verdict in own]
        said = counts[0].partition(" ")[2] if len(counts) == 1 else ", ".join(counts)
        sentences.append(
            f"{_all(own, 'experiment')}: {said}." if len(counts) > 1 else f"{_all(own, 'experiment')} {said}."
        )
    if twins:
        idle = twins.count(False)
        sentences.append(
            f"{idle} of {_all(twins, 'twin')} did not break as it must."
            if idle
            else f"{_all(twins, 'twin')} broke, as {'it' if len(twins) == 1 else 'they'} must."
        )
    return " ".join(sentences)


def _all(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}" + ("" if len(items) == 1 else "s")


def reason(record: ExperimentRecord) -> str:
    """Why the verdict is what it is, also for an experiment that never came to one."""
    if record.has_verdict:
        return record.reason
    how_far = "it was observed, but never judged" if record.stage == "observed" else "it never ran to its end"
    how_far = f"the run ended before the verdict: {how_far}"
    return f"{how_far} ({record.reason})" if record.reason else how_far


def outcome(record: ExperimentRecord) -> str:
    """For a twin: whether it broke what it must, in words; empty for an experiment itself."""
    if not record.twin:
        return ""
    must = " and ".join(record.breaks) or "an objective"
    if not record.has_verdict:
        return f"must break {must}; not judged"
    return f"broke {must}, as it must" if record.passed else f"must break {must}, and did not"


def verdict_text(record: ExperimentRecord) -> str:
    """``HELD``, ``BROKEN, as it must``; of a series with how many of the attempts that count came out so that it is
    well: ``HELD 9/10``."""
    text = str(record.standing)
    if record.series:
        text += f" {record.series.as_should}/{record.series.as_should + record.series.otherwise}"
    return f"{text}, as it must" if record.twin and record.passed else text


def recoveries(record: ExperimentRecord) -> dict[str, ClockRecord]:
    """By clock, the worst recovery that it saw of any subject."""
    found: dict[str, ClockRecord] = {}
    for clock in sorted(record.recovery, key=_severity):
        found.setdefault(clock.clock, clock)
    return found


def clocks(record: ExperimentRecord) -> list[ClockRecord]:
    """All clocks of all subjects, the users' first."""
    return sorted(record.recovery, key=lambda clock: CLOCKS.index(clock.clock))


def _severity(clock: ClockRecord) -> tuple[int, float]:
    return _STATES.index(clock.state), -(clock.high or clock.low or 0.0)


def recovery_text(clock: ClockRecord | None) -> str:
    """What one clock says of the recovery: ``4.2–4.6 s``, ``no outage``, ``did not recover``, ``no data``."""
    if clock is None:
        return ""
    if clock.state == "recovered":
        return figures.between(clock.low, clock.high) or "recovered"
    if clock.state == "not recovered" and clock.low is not None:
        return f"did not recover (over {figures.seconds(clock.low)})"
    return {"not recovered": "did not recover", "not disrupted": "no outage", "no data": "no data"}[clock.state]


def distribution_text(found: DistributionRecord) -> str:
    """What one clock says of a series: ``p50 1.1–1.2 s, p95 2 s, max 2.1 s``; ``no outage`` when it never saw one."""
    if found.undisrupted == found.attempts:
        return "no outage"
    shown = {each.name: figures.between(each.low, each.high) for each in found.quantiles}
    # Of fewer than twenty the p95 is the longest one.
    return ", ".join(
        f"{name} {shown[name]}"
        for name in ("p50", "p95", "max")
        if name in shown and (name == "max" or shown[name] != shown.get("max"))
    )


def clock_text(record: ExperimentRecord, clock: str) -> str:
    """What one clock says of the recovery, of all attempts where there are several; empty when it says nothing."""
    if record.series is None:
        return recovery_text(recoveries(record).get(clock))
    found = next((each for each in record.series.recovery if each.clock == clock), None)
    return distribution_text(found) if found else ""


def time_to_recover(record: ExperimentRecord) -> str:
    """The recovery with the clock that saw it: ``8.1 s (user)``, ``no outage (user), 7.3–7.4 s (endpoints)``.

    The user's clock comes first, since that is what the outage was; where it saw none, so does what the cluster did.
    """
    if record.series:
        told = {name: clock_text(record, name) for name in CLOCKS}
        first = next((name for name in CLOCKS if told[name] not in {"", "no outage"}), None)
        first = first or next((name for name in CLOCKS if told[name]), None)
        return f"{told[first]} ({first})" if first else ""
    found = recoveries(record)
    seen = [found[clock] for clock in CLOCKS if clock in found and found[clock].state != "no data"]
    if not seen:
        return "no data" if found else ""
    shown = seen[:1]
    if seen[0].state == "not disrupted":
        shown += [clock for clock in seen[1:] if clock.state != "not disrupted"][:1]
    return ", ".join(f"{recovery_text(clock)} ({clock.clock})" for clock in shown)


class Measured(Protocol):
    """What an objective showed, on record or not yet."""

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
    """The objective nearest to its limit or furthest beyond it: broken ones first, then inconclusive ones."""
    return min(objectives, key=_tightness, default=None)


def _tightness(objective: Measured) -> tuple[int, bool, float]:
    # A count that held says little by its margin: "no write lost" is always at its limit. Measured ones come first.
    counted = objective.verdict is Verdict.HELD and objective.unit not in figures.MEASURED
    return _ORDER[objective.verdict], counted, _slack(objective)


def _slack(objective: Measured) -> float:
    """The margin in parts of what the limit allows: the error budget of a share, the limit itself of other units."""
    if objective.margin is None or objective.limit is None:
        return float("inf")
    budget = abs(objective.limit)
    if objective.comparison == ">=" and objective.unit in {"%", *figures.SHARES}:
        budget = (100 if objective.unit == "%" else 1) - objective.limit
    return objective.margin / budget if budget else objective.margin


def observed_text(objective: ObjectiveRecord) -> str:
    """``97.2%``, or a dash when there is no number."""
    if objective.observed is None:
        return "–"
    return figures.quantity(objective.observed, objective.unit, objective.limit)


def limit_text(objective: ObjectiveRecord) -> str:
    """``at least 99.9%``; empty when the objective has no number for a limit."""
    if objective.limit is None:
        return ""
    words = figures.COMPARISONS.get(objective.comparison, objective.comparison)
    return f"{words} {figures.quantity(objective.limit, objective.unit)}".strip()


def bounds_text(objective: ObjectiveRecord) -> str:
    """What the observation is known to within: ``99.95–99.99%``."""
    if objective.low is not None and objective.low == objective.high:
        return ""
    return figures.between(objective.low, objective.high, objective.unit)


def finding_text(objective: ObjectiveRecord) -> str:
    """An objective in one line: ``recovery of deployment/web: 7.4 s (at most 20 s), +12.6 s``.

    The limit is left out where the title says it already, and all numbers where there is none.
    """
    if objective.observed is None:
        return f"{objective.title}: {'no number' if objective.verdict is not Verdict.INCONCLUSIVE else 'not judged'}"
    limit = objective.limit is not None and limit_text(objective)
    told = not limit or figures.quantity(objective.limit or 0.0, objective.unit) in objective.title
    parts = [observed_text(objective) + ("" if told else f" ({limit})"), margin_text(objective)]
    return f"{objective.title}: {', '.join(part for part in parts if part)}"


def control_text(objective: ObjectiveRecord) -> str:
    """What the control arm showed: ``99.9%``; empty where it was not asked, a dash where it has no number."""
    if objective.control is None:
        return ""
    if objective.control.observed is None:
        return "–"
    return figures.quantity(objective.control.observed, objective.unit, objective.limit)


def difference_text(beside: BesideRecord) -> str:
    """The difference to the control arm: ``−1.2 points (−1.9 to −0.7 points)``; empty where there is none."""
    if beside.difference is None or beside.difference_low is None or beside.difference_high is None:
        return ""
    low, high = (figures.margin(bound, "%") for bound in (beside.difference_low, beside.difference_high))
    return f"{figures.margin(beside.difference, '%')} ({low.partition(figures.NBSP)[0]} to {high})"


def margin_text(objective: ObjectiveRecord) -> str:
    """``−2.7 points``; empty when there is none."""
    return "" if objective.margin is None else figures.margin(objective.margin, objective.unit)
