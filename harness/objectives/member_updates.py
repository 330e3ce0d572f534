"""Member updates: a change of a StatefulSet's pod template reaches some of its pods, and leaves the others alone.

This is what the field ``partition`` of a rolling update and the update strategy OnDelete promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.model.finding import Finding
from harness.model.quantities import counted, show_seconds
from harness.model.timeline import Injection, Interval, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Count, Limit, StatefulSetRef
from harness.objectives._findings import combined, inconclusive, never, within
from harness.objectives._members import MemberSample, change_of, members_of
from harness.objectives._series import values
from harness.objectives.base import Objective
from harness.objectives.recovery.gaps import states_lost


class MemberUpdates(Objective):
    """After a change of the pod template only the given pods get the new version, and no others are replaced.

    The given pods are those with an ordinal number of at least ``fromOrdinal``, or with ``onlyVictims`` those that the
    faults delete. Each of them is ready in the new version ``within`` a time limit from the change or its deletion. All
    others stay the same pods at every observation until the change is undone; one that a fault deletes returns in the
    old version. Pods without container statuses are not ready. The version that the change made stays known if the
    watch on workloads was interrupted for a while or at the end.
    """

    kind: ClassVar[str] = "memberUpdates"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {"of": "statefulset/etcd", "fromOrdinal": 2, "within": "30s"}

    of: StatefulSetRef = Field(description="the StatefulSet, such as statefulset/etcd")
    from_ordinal: Count | None = Field(default=None, description="the first ordinal number that the change may reach")
    only_victims: bool = Field(
        default=False, description="instead of fromOrdinal: only pods that the faults delete get the new version"
    )
    within: Limit = Field(
        description="the time limit from the change, or from its deletion, until a pod is ready in the new version"
    )

    @model_validator(mode="after")
    def _check_one_of(self) -> Self:
        if (self.from_ordinal is None) != self.only_victims:
            found = "neither" if self.from_ordinal is None else "both"
            raise ValueError(f"found {found} of fromOrdinal and onlyVictims, expected exactly one")
        return self

    @property
    def title(self) -> str:
        which = "only deleted pods" if self.only_victims else f"only pods from {self.from_ordinal} on"
        return f"{which} of {self.of} get the new version"

    def awaits(self, timeline: Timeline) -> str:
        change = _Change.find(timeline, self)
        if isinstance(change, str):
            return ""
        missing = [name for name in change.expected if change.updated(name) is None]
        if missing:
            return f"{', '.join(missing)} of {self.of} is not ready in the new version"
        away = [name for name in change.others if name in change.victims and not change.returned(name)]
        return f"{', '.join(away)} of {self.of} has not returned" if away else ""

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # judges the time between the change and its undo
        change = _Change.find(timeline, self)
        if isinstance(change, str):
            return inconclusive(change)
        if not change.expected or not change.others:
            missing = "is to be left alone" if change.expected else "is to be updated"
            return inconclusive(f"no pod of {self.of} {missing}, so the limits of the change were not tested")
        lost = states_lost(timeline, "pods", change.since)
        parts = [self._in_time(change, name, lost) for name in change.expected]
        parts += [_left_alone(change, name) for name in change.others]
        finding = combined(parts)
        if finding.verdict is Verdict.HELD and lost:
            finding = inconclusive(f"the watch on pods was interrupted: an update of {self.of} may have been missed")
        elif finding.verdict is Verdict.HELD:
            finding = replace(finding, reason=self._summary(change))
        return replace(finding, samples=len(parts))

    def _in_time(self, change: _Change, name: str, lost: bool) -> Finding:
        what, since = f"{name} was ready in the new version", "its deletion" if self.only_victims else "the change"
        began, at = change.expected[name], change.updated(name)
        if at is not None:
            return within(what, Interval(max(0.0, at - began.high), at - began.low), self.within, since)
        if lost:
            return inconclusive(f"the watch on pods was interrupted before {name} was ready in the new version")
        return never(what, change.until - began.high, self.within, since)

    def _summary(self, change: _Change) -> str:
        back = [name for name in change.others if name in change.victims]
        returned = f", {', '.join(back)} came back in the old version" if back else ""
        return f"{_named(change.expected)} got the new version; {_named(change.others)} did not{returned}"


@dataclass(frozen=True)
class _Change:
    """The change of the pod template, and what was observed of the pods from then on until its undo.

    ``expected`` are the pods that it may reach, each with the time that its limit counts from; ``others`` all that were
    there besides; ``victims`` those that faults deleted.
    """

    since: float
    until: float
    revision: str
    before: Mapping[str, MemberSample]
    seen: Sequence[MemberSample]
    expected: Mapping[str, Interval]
    victims: Mapping[str, Interval]

    @classmethod
    def find(cls, timeline: Timeline, objective: MemberUpdates) -> _Change | str:
        """Return the change, or why there is none."""
        of = objective.of
        change = change_of(timeline, of)
        if isinstance(change, str):
            return change
        injected, until = change
        since = injected.low
        revision = _new_revision(timeline, of, since, until)
        if not revision:
            return f"no new version of {of} was observed"
        samples = list(members_of(timeline, of))
        before = {one.name: one for one in samples if one.at < since}
        before = {name: one for name, one in before.items() if not one.gone}
        deleted = dict(_deleted(timeline.injections, before))
        start = objective.from_ordinal
        expected = (
            deleted if start is None else {name: injected for name, one in before.items() if one.ordinal >= start}
        )
        seen = [one for one in samples if since <= one.at <= until]
        return cls(since, until, revision, before, seen, dict(sorted(expected.items())), deleted)

    @cached_property
    def others(self) -> list[str]:
        return sorted(set(self.before) - set(self.expected))

    def updated(self, name: str) -> float | None:
        """Return when a pod was first ready in the new version; None if it never was."""
        found = (one.at for one in self.seen if one.name == name and one.revision == self.revision and one.ready)
        return next(found, None)

    def returned(self, name: str) -> bool:
        """Return whether a pod that a fault deleted was ready again as a new pod."""
        return any(one.name == name and one.uid != self.before[name].uid and one.ready for one in self.seen)


def _left_alone(change: _Change, name: str) -> Finding:
    """Judge a pod that the change must not reach."""
    uid = change.before[name].uid
    for one in change.seen:
        if one.name != name:
            continue
        if one.revision == change.revision:
            reason = f"{name} got the new version at {show_seconds(one.at)}, which must not reach it"
            return Finding(verdict=Verdict.BROKEN, reason=reason)
        if (one.terminating or one.uid != uid) and name not in change.victims:
            reason = f"{name} was deleted or replaced at {show_seconds(one.at)}, although nothing was to change for it"
            return Finding(verdict=Verdict.BROKEN, reason=reason)
    if name in change.victims and not change.returned(name):
        return inconclusive(f"{name} did not come back before the change was undone, so its version is unknown")
    return Finding(verdict=Verdict.HELD, reason=f"{name} was left alone")


def _new_revision(timeline: Timeline, of: str, since: float, until: float) -> str:
    """Return the version that a change made, the last one until its undo; "" if none was observed."""
    seen = [(one.at, str(one.value.get("revision") or "")) for one in values(timeline, "workloads", of)]
    old = {revision for at, revision in seen if at < since}
    new = [revision for at, revision in seen if since <= at <= until and revision and revision not in old]
    return new[-1] if new and old else ""


def _deleted(injections: Sequence[Injection], before: Mapping[str, MemberSample]) -> Iterator[tuple[str, Interval]]:
    """Yield the pods that the faults deleted, each with the time of the injection."""
    uids = {one.uid: name for name, one in before.items()}
    for injection in injections:
        for victim in injection.victims:
            if victim.kind == "Pod" and victim.uid in uids:
                yield uids[victim.uid], injection.injected


def _named(names: Mapping[str, Interval] | Sequence[str]) -> str:
    found = list(names)
    return ", ".join(found) if len(found) <= 3 else counted(len(found), "pod")
