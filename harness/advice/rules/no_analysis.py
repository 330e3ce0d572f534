"""A Rollout without an analysis, or with one that begins when users already have the new version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.advice.case import Case, Subject
from harness.advice.delivery import rollouts, strategy, templates, was_promoted
from harness.advice.rule import Advice, Rule, Strength
from harness.common.shapes import listed, mapping
from harness.faults.bad_rollout import BadRollout

_USERS = ("availability", "errorRate", "latency", "prometheus")
# The analyses of a blue-green Rollout, and what its lack means: without the first one the second comes too late.
_ANALYSES = {
    "prePromotionAnalysis": "{} sends all users to a new version before an analysis has judged it",
    "postPromotionAnalysis": "{} keeps a version that fails only with users: no analysis follows its promotion",
}


def _analysis(case: Case, subject: Subject) -> dict[str, Any]:
    """Return an analysis by a template of the workload: one that the Rollout does not use yet, if there is one."""
    used = {item["metadata"]["name"] for item in templates(case, subject)}
    found = sorted(case.objects("AnalysisTemplate"), key=lambda item: item["metadata"]["name"] in used)
    if not found:
        return {"templates": [{"templateName": "…"}]}
    args = [mapping(arg) for arg in listed(mapping(found[0].get("spec")).get("args"))]
    named = {"templates": [{"templateName": found[0]["metadata"]["name"]}]}
    missing = [{"name": arg.get("name"), "value": "…"} for arg in args if "value" not in arg and "valueFrom" not in arg]
    return {**named, "args": missing} if missing else named


def _of_canary(case: Case, subject: Subject, explains: tuple[str, ...]) -> Iterator[Advice]:
    canary = strategy(subject, "canary")
    steps = [mapping(step) for step in listed((canary or {}).get("steps"))]
    if canary is None or canary.get("analysis") or any("analysis" in step for step in steps):
        return
    first = next((index + 1 for index, step in enumerate(steps) if "setWeight" in step), 0)
    analysed = [*steps[:first], {"analysis": _analysis(case, subject)}, *steps[first:]]
    promoted = was_promoted(case, subject)
    evidence = ["strategy.canary has no analysis", f"{subject.name} promoted the new version" if promoted else ""]
    yield Advice(
        f"no analysis judges a new version of {subject.name}: a bad one is promoted like a good one",
        "; ".join(filter(None, (*evidence, case.failures()))),
        Strength.OBSERVED if promoted else Strength.LIKELY,
        explains,
        subject.of_spec({"strategy": {"canary": {"steps": analysed}}}),
    )


def _of_blue_green(case: Case, subject: Subject, explains: tuple[str, ...]) -> Iterator[Advice]:
    blue_green = strategy(subject, "blueGreen")
    missing = next((key for key in _ANALYSES if blue_green is not None and not blue_green.get(key)), "")
    if not missing or (missing == "postPromotionAnalysis" and not was_promoted(case, subject)):
        return
    yield Advice(
        _ANALYSES[missing].format(subject.name),
        "; ".join(filter(None, (f"strategy.blueGreen has no {missing}", case.failures()))),
        Strength.OBSERVED if case.failed else Strength.LIKELY,
        explains,
        subject.of_spec({"strategy": {"blueGreen": {missing: _analysis(case, subject)}}}),
    )


def _find(case: Case) -> Iterator[Advice]:
    wrong = {fault.of for fault in case.experiment.faults if isinstance(fault, BadRollout) and fault.bad_though_ready}
    aborted = [each.title for each, _ in case.broken("rolloutEnds") if getattr(each, "outcome", "") == "aborted"]
    explains = (*aborted, *case.titles(*_USERS))
    for subject in rollouts(case) if explains else ():
        if subject.name in wrong:
            yield from _of_canary(case, subject, explains)
            yield from _of_blue_green(case, subject, explains)


RULE = Rule("no-analysis", _find)
