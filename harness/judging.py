"""From a timeline to a verdict: every objective's finding, what must be true for them to count, and the worst of all.

Pure: no cluster, no clock. A stored timeline can be judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.control import compare
from harness.experiment import Experiment, describes
from harness.objective import Finding, Objective
from harness.observation import BASELINE, Stop, Timeline
from harness.quantities import show_seconds
from harness.reporting.overview import tightest
from harness.verdict import Verdict, worst

Judged = list[tuple[Objective, Finding]]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one experiment with its reason, the findings behind it, and whether the run passed."""

    verdict: Verdict
    reason: str
    findings: Judged
    passed: bool


def judge(experiment: Experiment, timeline: Timeline, control: Timeline | None = None) -> Judgement:
    """Judge a finished run, in the light of its control arm if it had one. What was not proven makes it INCONCLUSIVE
    whatever the objectives say: an outage that cannot be put down to the fault says nothing about it."""
    shared = sharing_confidence(experiment.objectives)
    findings = [(objective, _finding(objective, timeline)) for objective in shared]
    findings = _with_confidence(experiment.objectives, findings)
    if experiment.control and control:
        confidence = experiment.control.confidence
        findings = [(objective, _beside(objective, found, control, confidence)) for objective, found in findings]
    unproven = [
        f"{seen.fault} is not proven to have bitten: {seen.evidence}" for seen in timeline.injections if not seen.proven
    ]
    if len(timeline.injections) < len(experiment.faults):
        unproven.append("not every fault was injected")
    if unproven:
        return Judgement(Verdict.INCONCLUSIVE, unproven[0], findings, passed=False)
    verdict, reason = _in_sight_of(timeline.stopped, *_of_objectives(findings))
    if not experiment.twin:
        return Judgement(verdict, reason, findings, passed=verdict is Verdict.HELD)
    missed = unbroken(experiment.breaks, findings)
    if missed:
        reason = f"the twin should have broken {', '.join(missed)} and did not: {reason}"
    return Judgement(verdict, reason, findings, passed=verdict is Verdict.BROKEN and not missed)


def sharing_confidence(objectives: Sequence[Objective]) -> list[Objective]:
    """The objectives with the confidence that each needs for all of them to be right together: of twenty statements at
    95 % one is wrong by chance, and one is enough to break an experiment or to hold it."""
    claims = sum(objective.claims for objective in objectives)
    return [objective.among(claims) if objective.claims else objective for objective in objectives]


def judge_baseline(experiment: Experiment, timeline: Timeline) -> Judged:
    """The steady state: the objectives that can be asked about the time before the fault."""
    asked = [objective for objective in experiment.objectives if objective.checks_baseline]
    return [(objective, _finding(objective, timeline, [BASELINE])) for objective in asked]


def unbroken(breaks: Iterable[str], findings: Judged) -> list[str]:
    """The objectives that a twin must break and did not."""
    broken = [objective for objective, finding in findings if finding.verdict is Verdict.BROKEN]
    return [name for name in breaks if not any(describes(objective, name) for objective in broken)]


def _finding(objective: Objective, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
    try:
        return objective.judge(timeline, phases)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        # A judge that crashes has shown nothing.
        reason = f"the judge of {objective.title} failed: {type(error).__name__}: {error}"
        return Finding(Verdict.INCONCLUSIVE, reason)


def _beside(objective: Objective, finding: Finding, control: Timeline, confidence: float) -> Finding:
    if not objective.checks_control:
        return finding
    return compare(finding, _finding(objective, control), confidence)


def _with_confidence(asked: Sequence[Objective], findings: Judged) -> Judged:
    """The findings with the confidence that each rests on, where it is more than was asked for."""
    claims = sum(objective.claims for objective in asked)
    if claims < 2:
        return findings
    told = f"raised, since {claims} objectives are to be right together"
    return [
        (objective, replace(finding, detail=finding.detail | {"confidence": told}) if objective.claims else finding)
        for objective, finding in findings
    ]


def _of_objectives(findings: Judged) -> tuple[Verdict, str]:
    verdict = worst(finding.verdict for _, finding in findings)
    return verdict, _reason(verdict, findings)


def _in_sight_of(stopped: Stop | None, verdict: Verdict, reason: str) -> tuple[Verdict, str]:
    """What an early end of the fault leaves of a verdict: BROKEN stays; nothing holds under half a fault."""
    if stopped is None:
        return verdict, reason
    how = "aborted" if stopped.by == "abort" else "stopped early"
    said = f"{how} at {show_seconds(stopped.at)}: {stopped.reason}"
    if verdict is Verdict.BROKEN:
        return verdict, f"{reason} ({said})"
    return Verdict.INCONCLUSIVE, said if verdict is Verdict.HELD else f"{said}; {reason}"


def _reason(verdict: Verdict, findings: Judged) -> str:
    """What to read if only one sentence is read: every objective that did not hold, or how near the nearest came."""
    if not findings:
        return "no objective was judged"
    said = [f"{objective.title}: {finding.reason}" for objective, finding in findings if finding.verdict is verdict]
    if verdict is not Verdict.HELD or len(findings) == 1:
        return "; ".join(said)
    nearest = tightest([finding for _, finding in findings])
    if nearest is None or nearest.margin is None:
        return f"all {len(findings)} objectives held"
    title = next(objective.title for objective, finding in findings if finding is nearest)
    return f"all {len(findings)} objectives held, the closest to its limit: {title}: {nearest.reason}"
