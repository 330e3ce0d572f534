"""The members of a StatefulSet: its pods by their ordinal numbers, replayed from the ``pods`` series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.model.timeline import Interval, Timeline
from harness.objectives._series import values
from harness.objectives.recovery import watched_until

# On each pod of a StatefulSet: the name of its revision.
REVISION_LABEL = "controller-revision-hash"


@dataclass(frozen=True, slots=True)
class MemberSample:
    """One watch event of one member. ``listed``: it was there when the watch began. ``ended``: all its containers ended
    by themselves or by their node, so that its controller replaces it in any case."""

    at: float
    name: str
    ordinal: int
    uid: str
    node: str
    revision: str
    ready: bool
    terminating: bool
    gone: bool
    ended: bool
    listed: bool


def ordinal_of(of: str, pod: str) -> int | None:
    """Return the ordinal number in the name of a pod of ``statefulset/NAME``; None if it is not a pod of this set."""
    stem, _, ordinal = pod.rpartition("-")
    # Its pods are named NAME-ORDINAL; the name alone may be the prefix of another StatefulSet's name.
    return int(ordinal) if stem == of.partition("/")[2] and ordinal.isdigit() else None


def members_of(timeline: Timeline, of: str) -> Iterator[MemberSample]:
    """Yield the watch events of the pods of a StatefulSet, in order."""
    for seen in timeline.observations("pods"):
        if seen.error is not None or not isinstance(seen.value, Mapping) or seen.value.get("owner") != of:
            continue
        value, ordinal = seen.value, ordinal_of(of, seen.subject)
        if ordinal is None:
            continue
        gone = value.get("event") == "DELETED"
        ended = value.get("phase") in {"Succeeded", "Failed"}
        terminating = gone or bool(value.get("deleting"))
        yield MemberSample(
            at=seen.at,
            name=seen.subject,
            ordinal=ordinal,
            uid=str(value.get("uid", "")),
            node=str(value.get("node") or ""),
            revision=str((value.get("labels") or {}).get(REVISION_LABEL) or ""),
            ready=bool(value.get("ready")) and not (terminating or ended),
            terminating=terminating,
            gone=gone,
            ended=ended,
            listed=value.get("event") == "SYNC",
        )


def change_of(timeline: Timeline, of: str) -> tuple[Interval, float] | str:
    """Return when the first fault on a StatefulSet was injected, and until when it was seen: its undo, or the end.

    Without such a fault a text says so."""
    change = next((each for each in timeline.injections if of in {str(victim) for victim in each.victims}), None)
    if change is None:
        return f"no fault changed {of}"
    return change.injected, change.undone.low if change.undone else watched_until(timeline)


def first_ordinal(timeline: Timeline, of: str, at: float) -> int | None:
    """Return the ordinal number at which a StatefulSet began at an instant (``spec.ordinals.start``); None if unknown.

    The first observation also counts for the time before it."""
    seen = [one for one in values(timeline, "workloads", of) if one.value.get("first_ordinal") is not None]
    known = [one for one in seen if one.at <= at][-1:] or seen[:1]
    return int(known[0].value["first_ordinal"]) if known else None
