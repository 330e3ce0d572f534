"""Settings of a rollout: a deadline that is longer than the objective's, or a strategy that removes old pods first."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.faults.base import Effect

# The default of spec.progressDeadlineSeconds of a Deployment.
_DEADLINE = 600.0
_USERS = ("availability", "errorRate", "latency", "rolloutHalts", "invariant")


def _deadline(case: Case, subject: Subject) -> Iterator[Advice]:
    missed = case.missed("rolloutHalts")
    # The limit of a finding about replicas is a number of them.
    limits = [found.limit for found in missed if found.limit and found.unit == "s"]
    deadline = float(subject.spec.get("progressDeadlineSeconds", _DEADLINE))
    if limits and deadline >= min(limits):
        yield Advice(
            f"{subject.name} reports that its rollout is stuck only after progressDeadlineSeconds",
            f"progressDeadlineSeconds is {deadline:g}, and the objective allows {min(limits):g} s",
            Strength.OBSERVED,
            case.titles("rolloutHalts"),
            subject.of_spec({"progressDeadlineSeconds": max(1, int(min(limits) / 2))}),
        )


def _strategy(case: Case, subject: Subject) -> Iterator[Advice]:
    strategy = subject.spec.get("strategy") or {}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    unavailable = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
    if strategy.get("type") == "Recreate":
        cause, found = f"{subject.name} ends all old pods before it starts new ones", "its strategy is Recreate"
        strength = Strength.OBSERVED
    elif unavailable in ("100%", subject.spec.get("replicas", 1)):
        cause = f"a rolling update of {subject.name} may stop all pods at once"
        found, strength = f"maxUnavailable is {unavailable}", Strength.OBSERVED
    elif unavailable not in (0, "0%"):
        cause = f"a rolling update of {subject.name} removes old pods before new ones are ready"
        found, strength = f"maxUnavailable is {unavailable}", Strength.POSSIBLE
        for missed in case.missed("rolloutHalts"):
            if missed.unit == "replicas" and missed.comparison == ">=":
                strength = Strength.OBSERVED
    else:
        return
    if explains := case.titles(*_USERS):
        yield Advice(cause, found, strength, explains, subject.of_spec({"strategy": rolling}))


def _daemons(case: Case, subject: Subject) -> Iterator[Advice]:
    unavailable = ((subject.spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("maxUnavailable", 1)
    most = -min(case.beyond_desired(subject, "available"), default=0)
    explains = case.titles(*_USERS)
    # A percentage may be one node, as the default is.
    if explains and unavailable != 1 and most > 1:
        yield Advice(
            f"a rolling update of {subject.name} may stop the pods of several nodes at once",
            f"maxUnavailable is {unavailable}; {most} of its pods were unavailable at a time",
            Strength.OBSERVED,
            explains,
            subject.of_spec({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1}}}),
        )


def _versions(case: Case, subject: Subject) -> Iterator[Advice]:
    explains = case.titles("versions")
    if explains and (subject.spec.get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate":
        yield Advice(
            f"a rolling update of {subject.name} runs the old and the new version at the same time",
            "its strategy is RollingUpdate",
            Strength.OBSERVED,
            explains,
            subject.of_spec({"strategy": {"type": "Recreate", "rollingUpdate": None}}),
        )


def _find(case: Case) -> Iterator[Advice]:
    if not case.has_effect(Effect.WORKLOADS):
        return
    for subject in case.subjects:
        yield from _deadline(case, subject)
        if subject.item["kind"] == "Deployment":
            yield from _strategy(case, subject)
            yield from _versions(case, subject)
        elif subject.item["kind"] == "DaemonSet":
            yield from _daemons(case, subject)


RULE = Rule("rollout-limits", _find)
