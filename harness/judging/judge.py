"""Evaluate a timeline: the finding of every objective, the conditions for it to count, and the verdict.

Pure functions without cluster or clock, so that a stored timeline can be judged again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.experiment.declaration import Experiment, describes
from harness.judging.control_arm import compare
from harness.model.finding import Finding
from harness.model.phase_names import BASELINE
from harness.model.quantities import show_seconds
from harness.model.timeline import Stop, Timeline
from harness.model.verdict import Verdict, worst
from harness.objectives.base import Objective
from harness.results.reporting.overview import tightest

Judged = list[tuple[Objective, Finding]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one experiment, its reason, the findings of its objectives, and whether the run passed."""

    verdict: Verdict
    reason: str
    findings: Judged
    passed: bool


def judge(experiment: Experiment, timeline: Timeline, control: Timeline | None = None) -> Judgement:
    """Judge a finished run, compared with its control arm if it has one.

    A fault without evidence makes the verdict INCONCLUSIVE whatever the findings are: nothing shows that the fault
    caused them."""
    shared = sharing_confidence(experiment.objectives)
    # Evaluated even if the fault is unproven, since the report shows the findings with any verdict.
    findings = [(objective, _finding(objective, timeline)) for objective in shared]
    findings = _with_confidence(experiment.objectives, findings)
    if experiment.control and control:
        confidence = experiment.control.confidence
        findings = [(objective, _with_control(objective, found, control, confidence)) for objective, found in findings]
    unproven = [
        f"no evidence that {seen.fault} took effect: {seen.evidence}" for seen in timeline.injections if not seen.proven
    ]
    missing, postponed = _not_injected(experiment, timeline)
    if missing and not timeline.stopped:
        unproven += [] if postponed else [missing]
    if unproven:
        return Judgement(Verdict.INCONCLUSIVE, unproven[0], findings, passed=False)
    verdict, reason = _with_early_stop(timeline.stopped, *_of_objectives(findings))
    unfinished = next((f"{seen.fault}: {seen.unfinished}" for seen in timeline.injections if seen.unfinished), "")
    if unfinished and verdict is Verdict.HELD:
        # BROKEN stays: the fault did break it. HELD does not: only a part of the effect was tested.
        waited = f"its effect had not ended at the end of the recovery phase: increase phases.recovery; {reason}"
        verdict, reason = Verdict.INCONCLUSIVE, f"{unfinished}, {waited}"
    if postponed and not timeline.stopped and verdict is Verdict.HELD:
        # BROKEN stays: too many pods were down to inject it again.
        verdict, reason = Verdict.INCONCLUSIVE, f"{missing}, the others were postponed until the end of the phase"
    if not experiment.variant:
        return Judgement(verdict, reason, findings, passed=verdict is Verdict.HELD)
    missed = unbroken(experiment.breaks, findings)
    if missed:
        reason = f"the twin must break {', '.join(missed)}, but did not: {reason}"
    return Judgement(verdict, reason, findings, passed=verdict is Verdict.BROKEN and not missed)


def _not_injected(experiment: Experiment, timeline: Timeline) -> tuple[str, bool]:
    """Return which fault was not injected as often as declared, or "", and whether all such faults were postponed."""
    made = Counter(injection.number for injection in timeline.injections)
    short = [each for each in range(len(experiment.faults)) if made[each] < experiment.timing(each).times]
    if not short:
        return "", False
    postponed = all(made[each] and experiment.timing(each).down_below for each in short)
    number = short[0]
    timing = experiment.timing(number)
    times = f" {made[number]} of {timing.times} times" if made[number] else " was not"
    when = f" ({timing})" if str(timing) else ""
    return f"not every fault was injected: {experiment.faults[number].kind}{when}{times}", postponed


def sharing_confidence(objectives: Sequence[Objective]) -> list[Objective]:
    """Return the objectives with their confidence raised so that all of them together have the declared confidence.

    At 95 % one of twenty findings is wrong by chance, and one wrong finding is enough for a wrong verdict."""
    claims = sum(objective.claims for objective in objectives)
    return [objective.among(claims) if objective.claims else objective for objective in objectives]


def judge_baseline(experiment: Experiment, timeline: Timeline) -> Judged:
    """Return the findings for the steady state, of the objectives that also apply before the fault."""
    checked = [objective for objective in experiment.objectives if objective.checks_baseline]
    return [(objective, _finding(objective, timeline, [BASELINE])) for objective in checked]


def unbroken(breaks: Iterable[str], findings: Judged) -> list[str]:
    """Return the objectives that a twin must break but did not."""
    broken = [objective for objective, finding in findings if finding.verdict is Verdict.BROKEN]
    return [name for name in breaks if not any(describes(objective, name) for objective in broken)]


def _finding(objective: Objective, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
    try:
        return objective.judge(timeline, phases)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        # An objective that raises has neither held nor been missed.
        reason = f"evaluating {objective.title} failed: {type(error).__name__}: {error}"
        return Finding(verdict=Verdict.INCONCLUSIVE, reason=reason)


def _with_control(objective: Objective, finding: Finding, control: Timeline, confidence: float) -> Finding:
    if not objective.checks_control:
        return finding
    return compare(finding, _finding(objective, control), confidence)


def _with_confidence(objectives: Sequence[Objective], findings: Judged) -> Judged:
    """Return the findings with a note where the confidence was raised above the declared one."""
    claims = sum(objective.claims for objective in objectives)
    if claims < 2:
        return findings
    note = f"raised, so that the declared confidence applies to all {claims} statistical statements together"
    return [
        (objective, replace(finding, detail=finding.detail | {"confidence": note}) if objective.claims else finding)
        for objective, finding in findings
    ]


def _of_objectives(findings: Judged) -> tuple[Verdict, str]:
    verdict = worst(finding.verdict for _, finding in findings)
    return verdict, _reason(verdict, findings)


def _with_early_stop(stopped: Stop | None, verdict: Verdict, reason: str) -> tuple[Verdict, str]:
    """Return the verdict after an early end of the fault: BROKEN stays, HELD becomes INCONCLUSIVE."""
    if stopped is None:
        return verdict, reason
    how = "aborted" if stopped.by == "abort" else "stopped early"
    stop = f"{how} at {show_seconds(stopped.at)}: {stopped.reason}"
    if verdict is Verdict.BROKEN:
        return verdict, f"{reason} ({stop})"
    # The fault was shorter than declared, so HELD would be a statement about a fault that did not take place.
    return Verdict.INCONCLUSIVE, stop if verdict is Verdict.HELD else f"{stop}; {reason}"


def _reason(verdict: Verdict, findings: Judged) -> str:
    """Return the objectives that did not hold, or the one that was closest to its limit."""
    if not findings:
        return "no objective was judged"
    reasons = [f"{objective.title}: {finding.reason}" for objective, finding in findings if finding.verdict is verdict]
    if verdict is not Verdict.HELD or len(findings) == 1:
        return "; ".join(reasons)
    nearest = tightest([finding for _, finding in findings])
    if nearest is None or nearest.margin is None:
        return f"all {len(findings)} objectives held"
    title = next(objective.title for objective, finding in findings if finding is nearest)
    return f"all {len(findings)} objectives held, the closest to its limit: {title}: {nearest.reason}"
