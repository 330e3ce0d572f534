"""How an outage was detected, mitigated and recovered, in seconds after its injection, from marks, alerts and clocks.

The first source wins; the later ones are named beside it. A moment without a source is unknown, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from harness.common.clock import iso, parse_kubernetes_time
from harness.gameday.alerts import AlertTimes
from harness.gameday.marks import KINDS, Mark, MarkKind, first_between
from harness.model.quantities import show_seconds
from harness.results.game_day_response import MomentRecord, ResponseRecord
from harness.results.record import ClockRecord, ExperimentRecord

# The order in which the clocks are preferred: what users saw comes first.
CLOCKS = ("user", "endpoints", "control plane", "prometheus")


class Response(BaseModel):
    """Where the times of detection and mitigation come from, in addition to the marks that people enter."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    alerts: list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]] = Field(
        default_factory=list,
        description="alerts that should fire: the first one detects the outage; it is mitigated once all are resolved",
    )


@dataclass(frozen=True, slots=True)
class Outage:
    """One injection: all times in Unix seconds. ``until`` is when the next outage began, or the end of the day."""

    title: str
    injected: float
    until: float
    recovered: tuple[tuple[float, str], ...] = ()
    not_recovered: str = ""


def outage_of(record: ExperimentRecord, title: str, until: float) -> Outage | None:
    """Return the outage of an experiment's record; None if nothing was injected."""
    injected = [fault.injected.low for fault in record.faults if fault.injected]
    if not injected or not record.origin:
        return None
    zero = parse_kubernetes_time(record.origin)
    ended = [
        (zero + each.ended, f"{each.clock} clock ({each.subject})")
        for each in sorted(record.recovery, key=lambda each: CLOCKS.index(each.clock))
        if each.state == "recovered" and each.ended is not None
    ]
    return Outage(title, zero + min(injected), until, tuple(ended), _no_recovery(record.recovery))


def response_to(
    outage: Outage, marks: Sequence[Mark], alerts: Sequence[AlertTimes], expected: Sequence[str], unread: str = ""
) -> ResponseRecord:
    """Return the response to an outage. ``alerts`` are the ``expected`` ones; ``unread`` is why marks are missing."""
    missing = {kind: _no_mark(outage, marks, kind, unread) for kind in KINDS}
    return ResponseRecord(
        experiment=outage.title,
        injected=iso(outage.injected),
        detected=_moment(outage, _detections(outage, marks, alerts), _why_not("detected", missing, alerts, expected)),
        mitigated=_moment(
            outage, _mitigations(outage, marks, alerts), _why_not("mitigated", missing, alerts, expected)
        ),
        # The clocks are ordered by what they mean, not by their times.
        recovered=_first(outage, outage.recovered, outage.not_recovered),
    )


def _detections(outage: Outage, marks: Sequence[Mark], alerts: Sequence[AlertTimes]) -> list[tuple[float, str]]:
    fired = [(each.fired, f"alert {each.name} fired") for each in alerts if each.fired is not None]
    return _marked(outage, marks, "detected") + fired


def _mitigations(outage: Outage, marks: Sequence[Mark], alerts: Sequence[AlertTimes]) -> list[tuple[float, str]]:
    fired = [each for each in alerts if each.fired is not None]
    resolved = [each.resolved for each in fired if each.resolved is not None]
    if fired and len(resolved) == len(fired):
        last = max(resolved)
        names = ", ".join(each.name for each in fired)
        return [*_marked(outage, marks, "mitigated"), (last, f"alert {names} resolved")]
    return _marked(outage, marks, "mitigated")


def _marked(outage: Outage, marks: Sequence[Mark], kind: MarkKind) -> list[tuple[float, str]]:
    found = first_between(marks, kind, outage.injected, outage.until)
    return [(found.at, found.source)] if found else []


def _moment(outage: Outage, found: Sequence[tuple[float, str]], reason: str) -> MomentRecord:
    return _first(outage, sorted(found, key=lambda each: each[0]), reason)


def _first(outage: Outage, found: Sequence[tuple[float, str]], reason: str) -> MomentRecord:
    if not found:
        return MomentRecord(reason=reason)
    at, source = found[0]
    others = [f"{show_seconds(later - outage.injected)}: {name}" for later, name in found[1:]]
    return MomentRecord(seconds=at - outage.injected, at=iso(at), source=source, others=others)


def _no_mark(outage: Outage, marks: Sequence[Mark], kind: MarkKind, unread: str) -> str:
    if unread:
        return f"marks could not be read: {unread}"
    earlier = [mark.at for mark in marks if mark.kind == kind and mark.at < outage.injected]
    if earlier:
        before = show_seconds(round(outage.injected - max(earlier), 1))
        return f"no mark was entered after the injection, the last one is from {before} before it"
    return f"no mark was entered (`harness gameday mark {kind}`)"


def _why_not(
    kind: MarkKind, missing: Mapping[MarkKind, str], alerts: Sequence[AlertTimes], expected: Sequence[str]
) -> str:
    reasons = [missing[kind]]
    for name in expected:
        times = next((each for each in alerts if each.name == name), None)
        if times is None or times.error:
            reasons.append(f"alert {name} could not be read: {times.error if times else 'no Prometheus'}")
        elif times.before:
            reasons.append(f"alert {name} was already firing before the injection")
        elif times.fired is None:
            reasons.append(f"alert {name} did not fire")
        elif kind == "mitigated" and times.resolved is None:
            reasons.append(f"alert {name} was not resolved")
    return "; ".join(reasons)


def _no_recovery(clocks: Sequence[ClockRecord]) -> str:
    if not clocks:
        return "no recovery clock was read"
    return "; ".join(f"{each.clock} clock: {each.reason or each.state}" for each in clocks)
