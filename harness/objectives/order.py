"""Order: a StatefulSet starts its pods one after the other, stops them in reverse, and waits while one is unhealthy.

This is what the pod management policy OrderedReady promises, the default. The policy Parallel promises no order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, ClassVar

from pydantic import Field

from harness.model.finding import Finding
from harness.model.quantities import counted, show_seconds
from harness.model.timeline import Injection, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import StatefulSetRef
from harness.objectives._findings import inconclusive
from harness.objectives._members import MemberSample, first_ordinal, members_of
from harness.objectives._series import values
from harness.objectives.base import Objective
from harness.objectives.recovery.gaps import states_lost

# Seconds. A controller acts on its copy of the pods' states, which follows a moment later: a pod that has just stopped
# being ready through a fault does not count against it.
KNOWN_AFTER = 1.0
_NAMED = 3


class Order(Objective):
    """Every pod of a StatefulSet starts and stops in the order of OrderedReady, at every observation from the fault on.

    A pod starts only while all pods before it are ready. It is stopped only while all pods before it are ready, and all
    pods after it are gone, or are ready in another version. A start is the creation of a pod, a stop is its deletion.
    Pods that a fault itself deletes, pods on nodes that a fault hits, and pods that have ended do not count as
    stopped by the controller, but their return is a start. A pod that lost its readiness through something else than
    the controller counts as not ready one second later. Pods without container statuses are not ready. Without any
    start or stop the finding is INCONCLUSIVE, and with ``waits`` also without a start that waited. The first ordinal
    number is that from before the fault, which is known also if the watch on workloads was interrupted for a while or
    at the end.
    """

    kind: ClassVar[str] = "order"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {"of": "statefulset/etcd"}

    of: StatefulSetRef = Field(description="the StatefulSet, such as statefulset/etcd")
    waits: bool = Field(
        default=False,
        strict=True,
        description="whether a start must have waited until an unhealthy pod was ready again, so that the set halted",
    )

    @property
    def title(self) -> str:
        return f"pods of {self.of} start and stop in order"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # judges from the first fault to the end of the run
        injected = timeline.injected()
        since = injected.low if injected else 0.0
        first = first_ordinal(timeline, self.of, since)
        if first is None:
            return inconclusive(f"{self.of} was not observed, so its first ordinal number is unknown")
        steps = [step for step in _steps(timeline, self.of, first) if step.at >= since]
        if not steps:
            return inconclusive(f"no pod of {self.of} was started or stopped by its controller, so no order was seen")
        wanted = _wanted(timeline, self.of, since)
        waited = [step for step in steps if step.waited(wanted, first)]
        finding = replace(self._finding(steps, waited), samples=len(steps))
        if finding.verdict is Verdict.HELD and states_lost(timeline, "pods", since):
            return inconclusive(f"the watch on pods was interrupted: a start or stop of {self.of} may have been missed")
        return finding

    def _finding(self, steps: Sequence[_Step], waited: Sequence[_Step]) -> Finding:
        wrong = [step for step in steps if step.why]
        if wrong:
            verdict = Verdict.BROKEN
            reason = "; ".join(str(step) for step in wrong[:_NAMED])
            reason += f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        elif self.waits and not waited:
            return inconclusive(f"no pod of {self.of} was wanted while another one was unhealthy, so no start waited")
        else:
            verdict = Verdict.HELD
            started = sum(step.what == "started" for step in steps)
            numbers = f"{counted(started, 'start')} and {counted(len(steps) - started, 'stop')}"
            reason = f"{numbers} of pods of {self.of}, each in order"
            reason += f"; {waited[0].name} waited for an unhealthy one" if waited else ""
        return Finding.exact(verdict, reason, len(wrong), limit=0, unit="steps out of order", comparison="<=")


@dataclass(frozen=True, slots=True)
class _Step:
    """A pod that was started or stopped, and why that was out of order; "" if it was in order.

    ``healed`` is when the last pod before it was ready again that had been unhealthy; infinite in the past if none was.
    """

    at: float
    name: str
    ordinal: int
    what: str
    why: str
    healed: float

    def waited(self, wanted: Mapping[int, float], first: int) -> bool:
        """Return whether it was started after an unhealthy pod was ready again, and was wanted before that."""
        since = min((at for count, at in wanted.items() if count > self.ordinal - first), default=math.inf)
        return self.what == "started" and since <= self.healed

    def __str__(self) -> str:
        return f"{self.name} was {self.what} at {show_seconds(self.at)} while {self.why}"


@dataclass(slots=True)
class _Member:
    """The last observed state of one ordinal number. ``blocks_from``: since when the controller must know that it is
    not ready; infinite while it is ready. ``was_ready``: whether this pod was ever ready, ``healed``: when it was ready
    again after it was not."""

    last: MemberSample
    blocks_from: float
    was_ready: bool
    healed: float = -math.inf

    def blocks(self, at: float) -> bool:
        return at >= self.blocks_from


@dataclass
class _Replay:
    """The states of all members at an instant."""

    first: int
    injections: Sequence[Injection]
    members: dict[int, _Member] = field(default_factory=dict)

    def see(self, sample: MemberSample) -> Iterator[_Step]:
        """Apply an event; yield the step that it shows."""
        before = self.members.get(sample.ordinal)
        if before is None or before.last.uid != sample.uid:
            # Its last event may arrive after the first one of the pod that replaced it.
            if sample.gone and before is not None:
                return
            if not (sample.listed or sample.gone):
                yield self._step(sample, "started", self._before(sample))
            self.members[sample.ordinal] = _Member(sample, math.inf if sample.ready else sample.at, sample.ready)
            return
        stopped = sample.terminating and not before.last.terminating and not self._excused(before, sample)
        if stopped:
            yield self._step(sample, "stopped", chain(self._before(sample), self._after(sample)))
        heals = sample.ready and before.was_ready and not before.last.ready
        self.members[sample.ordinal] = _Member(
            sample,
            # The controller knows at once what it has done itself.
            sample.at if stopped else _blocks_from(before, sample),
            before.was_ready or sample.ready,
            sample.at if heals else before.healed,
        )

    def _step(self, sample: MemberSample, what: str, obstacles: Iterator[str]) -> _Step:
        healed = [member.healed for ordinal, member in self.members.items() if ordinal < sample.ordinal]
        why = next(obstacles, "")
        return _Step(sample.at, sample.name, sample.ordinal, what, why, max(healed, default=-math.inf))

    def _excused(self, before: _Member, sample: MemberSample) -> bool:
        """Return whether a pod that stops was deleted by a fault, lost with its node, or has ended."""
        ended = sample.ended or before.last.ended
        return ended or any(_removes(injection, sample) for injection in self.injections)

    def _before(self, sample: MemberSample) -> Iterator[str]:
        """Yield what is wrong with the pods before one."""
        for ordinal in range(self.first, sample.ordinal):
            member, name = self.members.get(ordinal), f"{sample.name.rpartition('-')[0]}-{ordinal}"
            if member is None:
                yield f"{name} did not exist"
            elif member.blocks(sample.at):
                yield f"{name} {_state(member.last)}"

    def _after(self, sample: MemberSample) -> Iterator[str]:
        """Yield what is wrong with the pods after one, which must be gone or of another version."""
        for ordinal in sorted(number for number in self.members if number > sample.ordinal):
            member = self.members[ordinal]
            if member.last.gone:
                continue
            if member.blocks(sample.at):
                yield f"{member.last.name} {_state(member.last)}"
            elif not member.last.terminating and member.last.revision == sample.revision:
                yield f"{member.last.name} was still there"


def _steps(timeline: Timeline, of: str, first: int) -> Iterator[_Step]:
    replay = _Replay(first, timeline.injections)
    for sample in members_of(timeline, of):
        yield from replay.see(sample)


def _blocks_from(before: _Member, sample: MemberSample) -> float:
    return math.inf if sample.ready else min(before.blocks_from, sample.at + KNOWN_AFTER)


def _wanted(timeline: Timeline, of: str, since: float) -> dict[int, float]:
    """Return the sizes that a StatefulSet was given after an instant, each with the time when it was first observed."""
    found: dict[int, float] = {}
    for seen in values(timeline, "workloads", of):
        if seen.at >= since and seen.value.get("desired") is not None:
            found.setdefault(int(seen.value["desired"]), seen.at)
    # A status that changes shows the size from before too.
    before = [one.value.get("desired") for one in values(timeline, "workloads", of) if one.at < since]
    return {size: at for size, at in found.items() if size not in before[-1:]}


def _removes(injection: Injection, sample: MemberSample) -> bool:
    # A fault deletes its victims while it is injected. One that is stopped later was only disturbed by it.
    during = injection.injected.low <= sample.at <= injection.injected.high + KNOWN_AFTER
    return any(
        (victim.kind == "Pod" and victim.uid == sample.uid and during)
        or (victim.kind == "Node" and victim.name == sample.node and sample.at >= injection.injected.low)
        for victim in injection.victims
    )


def _state(last: MemberSample) -> str:
    if last.gone:
        return "did not exist"
    return "was terminating" if last.terminating else "was not ready"
