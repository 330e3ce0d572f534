"""Invariant: a condition on the cluster's own numbers that holds at every observation, not at the end or on average.

What counts is every state that the API server showed to a watch, so no dip between two polls is missed; a state that a
controller never wrote into a status was never shown. For PromQL the same is said by ``prometheus`` with a ``reducer``:
the ``max`` of a value over a phase is at most so much exactly when every sample is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from harness.objective import Due, Finding, LiveObjective
from harness.objectives._fields import DISRUPTED, WORKLOADS, Phases, reference
from harness.objectives._findings import combined, inconclusive
from harness.objectives._series import in_force, values
from harness.observation import Observation, Timeline
from harness.quantities import show_seconds
from harness.recovery.gaps import states_lost
from harness.verdict import Verdict

NODES = "nodes"
# What can be asked of each kind: our word → the key in the observation.
_COUNTS = {"available": "available", "ready": "ready", "total": "replicas", "updated": "updated", "desired": "desired"}
_QUANTITIES: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(WORKLOADS, _COUNTS),
    "hpa": {"current": "current", "desired": "desired"},
    "service": {"ready": "ready", "serving": "serving", "total": "all"},
    NODES: {"ready": "ready", "schedulable": "schedulable", "total": "total"},
}
_SERIES = {**dict.fromkeys(WORKLOADS, "workloads"), "hpa": "autoscalers", "service": "endpoints", NODES: NODES}
_CONDITION = re.compile(r"\s*(>=|<=|==|>|<)\s*(?:(\d+)|desired(?:\s*([+-])\s*(\d+))?)\s*")


def _subject(value: str) -> str:
    return value if value == NODES else reference("service", "hpa", *WORKLOADS)(value)


def _condition(value: str) -> str:
    _Condition.parse(value)
    return value.strip()


Subject = Annotated[str, AfterValidator(_subject)]
Condition = Annotated[str, AfterValidator(_condition)]
_Asked = Annotated[Condition | None, Field(description="such as '>= 2', '== 0' or, of a workload, '<= desired + 1'")]


@dataclass(frozen=True, slots=True)
class _Condition:
    """``comparison`` is >=, <= or ==; the limit is a number, or so many more than are desired at the same moment."""

    comparison: str
    limit: int
    relative: bool

    @classmethod
    def parse(cls, text: str) -> _Condition:
        """Raises ValueError. Counts are whole numbers, so that more than 2 is at least 3."""
        found = _CONDITION.fullmatch(text)
        if not found:
            raise ValueError(f"found {text!r}, expected a condition such as '>= 2', '== 0' or '<= desired + 1'")
        sign, number, plus, more = found.groups()
        limit = int(number) if number else int(more or 0) * (-1 if plus == "-" else 1)
        strict = {">": 1, "<": -1}.get(sign, 0)
        return cls(f"{sign}=" if strict else sign, limit + strict, number is None)

    def limit_at(self, desired: int) -> int:
        return desired + self.limit if self.relative else self.limit

    def margin(self, count: int, desired: int) -> int:
        """How far a count is on the good side of the limit; negative when the condition does not hold."""
        above = count - self.limit_at(desired)
        return -abs(above) if self.comparison == "==" else above if self.comparison == ">=" else -above


@dataclass(frozen=True, slots=True)
class _State:
    """All counts of a subject that were in force from an instant on."""

    at: float
    counts: Mapping[str, int]


class Invariant(LiveObjective):
    """Every condition that is written holds at every observation of ``of`` in the phases, and at their beginning."""

    kind: ClassVar[str] = "invariant"

    of: Subject = Field(description="a workload, service/NAME (its endpoints), hpa/NAME, or nodes")
    available: _Asked = None
    ready: _Asked = None
    total: _Asked = None
    updated: _Asked = None
    desired: _Asked = None
    current: _Asked = None
    serving: _Asked = None
    schedulable: _Asked = None
    phases: Phases = DISRUPTED

    @model_validator(mode="after")
    def _conditions_fit(self) -> Self:
        kind, known = self._kind, _QUANTITIES[self._kind]
        wrong = [name for name, _ in self._conditions if name not in known]
        if wrong or not self._conditions:
            found = ", ".join(wrong) or "no condition"
            raise ValueError(f"found {found} for {self.of}, expected one or more of {', '.join(known)}")
        relative = [name for name, condition in self._conditions if condition.relative]
        if relative and kind not in WORKLOADS:
            raise ValueError(f"found a condition on {relative[0]} relative to desired, which only a workload has")
        return self

    @property
    def title(self) -> str:
        asked = ", ".join(f"{name} {getattr(self, name)}" for name, _ in self._conditions)
        return f"{self.of}: {asked} at every moment"

    @property
    def checks_baseline(self) -> bool:
        return True

    @property
    def checks_control(self) -> bool:
        return True

    def breached(self, timeline: Timeline, due: Due) -> str:
        del due  # one observation is enough
        states = self._states_in(timeline, self.phases)
        broken = [part for part in self._parts(states) if part.verdict is Verdict.BROKEN] if states else []
        return broken[0].reason if broken else ""

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        windows = timeline.window(phases or self.phases)
        if not windows:
            return inconclusive(f"the run never came to {', '.join(phases or self.phases)}")
        states = self._states_in(timeline, phases or self.phases)
        if not states:
            return inconclusive(f"nothing was seen of {self.of}")
        finding = replace(combined(self._parts(states)), samples=len(states))
        if finding.verdict is Verdict.HELD and states_lost(timeline, _SERIES[self._kind], windows[0].start):
            reason = f"{finding.reason}, but the watch broke and states may have gone unseen"
            return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=reason)
        return finding

    @property
    def _kind(self) -> str:
        return self.of.partition("/")[0]

    @property
    def _conditions(self) -> list[tuple[str, _Condition]]:
        names = dict.fromkeys(name for kind in _QUANTITIES.values() for name in kind)
        written = [(name, getattr(self, name)) for name in names]
        return [(name, _Condition.parse(text)) for name, text in written if text is not None]

    def _parts(self, states: Sequence[_State]) -> list[Finding]:
        return [self._part(name, condition, states) for name, condition in self._conditions]

    def _part(self, name: str, condition: _Condition, states: Sequence[_State]) -> Finding:
        def margin(state: _State) -> int:
            return condition.margin(state.counts[name], state.counts.get("desired", 0))

        # The first moment at which it did not hold tells more than the worst one; while it holds, the closest does.
        worst = next((state for state in states if margin(state) < 0), None) or min(states, key=margin)
        count, limit = worst.counts[name], condition.limit_at(worst.counts.get("desired", 0))
        when = show_seconds(max(0.0, worst.at))
        told = f"{self.of} had {count} {name} at {when}"
        if margin(worst) < 0:
            reason = f"{told}, {getattr(self, name)} asked for at every moment"
            return Finding(Verdict.BROKEN, reason, *_numbers(condition, count, limit))
        reason = f"{told}, the closest to {getattr(self, name)} in {len(states)} observations"
        return Finding(Verdict.HELD, reason, *_numbers(condition, count, limit))

    def _states_in(self, timeline: Timeline, phases: Sequence[str]) -> list[_State]:
        seen = list(self._states(timeline))
        # What is in force where one phase ends is so where the next begins: it counts once.
        found: dict[int, _State] = {}
        for phase in timeline.window(phases):
            found.update((id(state), state) for state in in_force(seen, phase.start, phase.end))
        return sorted(found.values(), key=lambda state: state.at)

    def _states(self, timeline: Timeline) -> Iterator[_State]:
        keys = _QUANTITIES[self._kind]
        if self.of == NODES:
            yield from _nodes(timeline.observations(NODES))
            return
        subject = self.of.partition("/")[2] if self._kind == "service" else self.of
        for seen in values(timeline, _SERIES[self._kind], subject):
            yield _State(seen.at, {name: _count(seen.value.get(key)) for name, key in keys.items()})


def _nodes(observations: Iterable[Observation]) -> Iterator[_State]:
    nodes: dict[str, Mapping[str, Any]] = {}
    for seen in observations:
        if seen.error is None and isinstance(seen.value, Mapping):
            nodes[seen.subject] = seen.value
            if seen.value.get("gone"):
                del nodes[seen.subject]
            counts = {key: sum(bool(node.get(key)) for node in nodes.values()) for key in ("ready", "schedulable")}
            yield _State(seen.at, {**counts, "total": len(nodes)})


def _count(value: object) -> int:
    # Endpoints are listed; an absent number is 0, as the API leaves zeros out.
    return len(value) if isinstance(value, list | tuple) else int(value or 0)  # type: ignore[call-overload]


def _numbers(condition: _Condition, count: int, limit: int) -> tuple[float, float, float, float | None, str, str]:
    # Which side of an equality is good cannot be said, so it has no limit that a margin could be counted from.
    equal = condition.comparison == "=="
    return count, count, count, None if equal else limit, "", "" if equal else condition.comparison
