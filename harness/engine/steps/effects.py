"""The effects of the faults of a live experiment: evidence that they took effect, and whether they have ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.common.errors import ApiError
from harness.faults.base import Evidence, Fault, FaultContext
from harness.model.timeline import Timeline

Injected = tuple[Fault, FaultContext]


def find_evidence(faults: Sequence[Injected], timeline: Timeline, *, last: bool) -> None:
    """Record evidence for each injection that is not proven yet; with ``last`` also record that evidence is missing.

    ``faults`` are those of the timeline's injections, in the same order, each with its context.
    """
    for index, injection in enumerate(timeline.injections):
        if injection.proven:
            continue
        try:
            fault, context = faults[index]
            evidence = fault.evidence(context, injection.victims)
        except ApiError as error:
            evidence = Evidence(proven=False, text=f"could not check: {error}")
        if evidence.proven or last:
            proof = replace(injection, proven=evidence.proven, evidence=evidence.text)
            timeline.injections[index] = proof


def find_ends(faults: Sequence[Injected], timeline: Timeline) -> bool:
    """Record for each injection which part of its effect has not ended. Return whether all effects have ended."""
    for index, injection in enumerate(timeline.injections):
        try:
            fault, context = faults[index]
            text = fault.unfinished(context, injection.victims)
        except ApiError as error:
            text = f"could not check whether its effect has ended: {error}"
        timeline.injections[index] = replace(injection, unfinished=text)
    return not any(injection.unfinished for injection in timeline.injections)
