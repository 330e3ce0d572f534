"""Alert: an alerting rule fires in time when a fault begins, reaches Alertmanager, and resolves in time afterwards.

The looks at both servers are in the series ``alerts`` and ``alertmanager`` (``harness.probes.prometheus.alerts``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from harness.model.finding import Finding
from harness.model.phase_names import BASELINE
from harness.model.quantities import matching, show_seconds
from harness.model.timeline import Interval, Timeline
from harness.model.verdict import Verdict
from harness.objectives._alerts import ALERTMANAGER, GAP, GAP_OF_SILENT, PROMETHEUS, Look, Looks, labels_of
from harness.objectives._fields import Limit
from harness.objectives._findings import combined, inconclusive, show_length
from harness.objectives.base import Objective
from harness.objectives.recovery import Origin, origin_of

NONE = "none"
_SERVICE = "service/[a-z0-9]([a-z0-9-]*[a-z0-9])?(:[a-z0-9-]+)?"
_SERVICE_TEXT = "service/NAME or service/NAME:PORT, such as service/prometheus:web"
_OR_NONE = f"{NONE}|{_SERVICE}"
_ServiceRef = Annotated[str, matching(_SERVICE, _SERVICE_TEXT), Field(json_schema_extra={"pattern": f"^{_SERVICE}$"})]
_ServiceOrNone = Annotated[
    str, matching(_OR_NONE, f"{NONE} or {_SERVICE_TEXT}"), Field(json_schema_extra={"pattern": f"^({_OR_NONE})$"})
]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _firing(look: Look) -> bool:
    return look.has("firing")


def _active(look: Look) -> bool:
    return look.has("active")


@dataclass(frozen=True, slots=True)
class _Seen:
    """Everything that was seen of one alert. ``alertmanager`` is None if the alert need not reach one.

    ``gap`` is how many seconds may pass without an answer.
    """

    prometheus: Looks
    alertmanager: Looks | None
    gap: float

    @property
    def servers(self) -> list[Looks]:
        return [self.prometheus, *([self.alertmanager] if self.alertmanager else [])]

    @property
    def allowed(self) -> float:
        """The longest time without an answer, in seconds."""
        return max(self.gap, self.prometheus.evaluation)

    @property
    def error(self) -> float:
        """By how many seconds a time may differ in another run: one scrape and one evaluation."""
        return self.prometheus.scrape + self.prometheus.evaluation

    def unseen(self, start: float, end: float) -> str:
        return next(filter(None, (looks.unseen(start, end, self.allowed) for looks in self.servers)), "")


class Alert(Objective):
    """An alert fires within ``firesWithin`` of the fault and resolves within ``resolvesWithin`` of its undo.

    It must also reach Alertmanager within the same times, neither silenced nor inhibited; ``alertmanager: none`` leaves
    this out. With ``mustNotFire`` it must stay silent from the fault to the end of the run. Both times have an error of
    one scrape interval and one evaluation interval, since a fault may begin at any moment between two of them: HELD
    only if the latest possible time is within the limit. An alert that was firing or pending before the fault, a rule
    that does not exist, and more than 10 s (with ``mustNotFire`` 5 s) or one evaluation without an answer of either
    server give INCONCLUSIVE. If the fault has no undo, ``resolvesWithin`` counts from the fault.
    """

    kind: ClassVar[str] = "alert"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "name": "ShopDown",
        "labels": {"severity": "page"},
        "firesWithin": "30s",
        "resolvesWithin": "1m",
        "prometheus": "service/prometheus",
        "alertmanager": "service/alertmanager",
    }

    name: _Text = Field(description="the name of the alerting rule (label alertname)")
    labels: Mapping[str, str] = Field(
        default_factory=dict,
        description="labels that the alert must have, such as severity: page; $namespace is replaced by the "
        "experiment's namespace",
    )
    fires_within: Limit | None = Field(
        default=None, description="the time limit from the fault until the alert fires; shorter than phases.fault"
    )
    resolves_within: Limit | None = Field(
        default=None, description="the time limit from the undo of the fault until the alert no longer fires"
    )
    must_not_fire: bool = Field(
        default=False, strict=True, description="instead of time limits: the alert must never fire"
    )
    prometheus: _ServiceRef | None = Field(
        default=None, description="the Service of the workload's own Prometheus (default: that of the run)"
    )
    alertmanager: _ServiceOrNone | None = Field(
        default=None,
        description="the Service of the workload's own Alertmanager (default: that of the cluster), or none to judge "
        "Prometheus alone",
    )

    @model_validator(mode="after")
    def _one_claim(self) -> Self:
        if self.must_not_fire == (self.fires_within is not None):
            raise ValueError("found both or neither of firesWithin and mustNotFire, expected exactly one of them")
        if self.resolves_within is not None and self.fires_within is None:
            raise ValueError(
                "found resolvesWithin without firesWithin, expected both: an alert resolves after it fired"
            )
        if "alertname" in self.labels:
            raise ValueError("found the label alertname, expected the alert's name in name")
        return self

    @property
    def title(self) -> str:
        labels = ", ".join(f"{name}={value}" for name, value in sorted(self.labels.items()))
        return (
            f"alert {self.name}" + (f" ({labels})" if labels else "") + (" stays silent" if self.must_not_fire else "")
        )

    @property
    def checks_baseline(self) -> bool:
        return True

    @property
    def asks_alertmanager(self) -> bool:
        """Whether the alert must reach Alertmanager. One that must not fire is judged by Prometheus alone."""
        return self.alertmanager != NONE and not self.must_not_fire

    @property
    def own_alertmanager(self) -> str:
        """The Service of the workload's own Alertmanager, or an empty text."""
        return self.alertmanager if self.asks_alertmanager and self.alertmanager else ""

    def unready(self, timeline: Timeline) -> str:
        seen = self._seen(timeline)
        for looks in seen.servers:
            if not looks.good:
                why = f": {looks.errors[-1][1]}" if looks.errors else ""
                return f"{looks.server} has not answered yet{why}"
        return next(filter(None, (self._unquiet(looks.good[-1:], looks) for looks in seen.servers)), "")

    def pending(self, timeline: Timeline) -> str:
        if self.resolves_within is None:
            return ""
        seen = self._seen(timeline)
        firing = [looks.server for looks in seen.servers for look in looks.good[-1:] if _firing(look) or _active(look)]
        return f"{self.name} is still firing ({', '.join(firing)})" if firing else ""

    def awaits(self, timeline: Timeline) -> str:
        origin = origin_of(timeline, "injected")
        if self.fires_within is None or isinstance(origin, str):
            return ""
        seen = self._seen(timeline)
        silent = [looks.server for looks in seen.servers if looks.first(_wanted(looks), origin.disrupted.low) is None]
        return f"{self.name} has not fired ({', '.join(silent)})" if silent else ""

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        seen = self._seen(timeline)
        if phases and list(phases) == [BASELINE]:
            return self._quiet(timeline, seen, math.inf)
        origin = origin_of(timeline, "injected")
        if isinstance(origin, str):
            return inconclusive(origin)
        origin = replace(origin, until=_end(timeline))
        quiet = self._quiet(timeline, seen, origin.disrupted.low)
        if quiet.verdict is not Verdict.HELD:
            return quiet
        finding = self._silent(seen, origin) if self.must_not_fire else self._in_time(timeline, seen, origin)
        if finding.verdict is Verdict.HELD and (why := seen.unseen(origin.disrupted.low, origin.until)):
            finding = replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}, but {why}")
        return replace(finding, samples=sum(len(looks.good) for looks in seen.servers))

    def _seen(self, timeline: Timeline) -> _Seen:
        alertmanager = Looks.of(timeline, ALERTMANAGER, self.title) if self.asks_alertmanager else None
        gap = GAP_OF_SILENT if self.must_not_fire else GAP
        return _Seen(Looks.of(timeline, PROMETHEUS, self.title), alertmanager, gap)

    def _quiet(self, timeline: Timeline, seen: _Seen, until: float) -> Finding:
        """Judge the time before the fault: the rule exists, both servers answered throughout, nothing fired."""
        phase = timeline.phase(BASELINE)
        if phase is None:
            return inconclusive("there was no baseline, so an alert that fired before the fault cannot be told apart")
        # The injection is a little later than the end of the phase.
        end = phase.end if math.isinf(until) else until
        if why := seen.unseen(phase.start, end):
            return inconclusive(f"{why}, before the fault")
        for looks in seen.servers:
            before = looks.between(phase.start, end)
            if why := self._unquiet(before, looks) if before else f"{looks.server} was not asked before the fault":
                return inconclusive(f"before the fault: {why}")
        reason = f"{self.name} exists, and did not fire before the fault"
        return Finding.exact(Verdict.HELD, reason, 0, limit=0, unit="alerts", comparison="<=")

    def _unquiet(self, before: Sequence[Look], looks: Looks) -> str:
        """Return why the looks do not show a rule that exists and is silent, or an empty text."""
        for look in before:
            states = {str(each.get("state")) for each in look.alerts}
            # A scrape that failed makes an alert pending for a moment: that matters only right before the fault.
            if found := states if look is before[-1] else states - {"pending"}:
                return f"{self.name} is already {', '.join(sorted(found))} in {looks.server}"
            if looks.series != PROMETHEUS:
                continue
            if not look.rules:
                known = ", ".join(look.value.get("known") or ()) or "no alerting rule at all"
                return f"Prometheus has no alerting rule {self.name}, it has {known}"
            if any(not rule.get("evaluated") for rule in look.rules):
                return f"Prometheus has not evaluated the rule {self.name} yet"
        return ""

    def _silent(self, seen: _Seen, origin: Origin) -> Finding:
        looks = [look for look in seen.prometheus.good if look.at >= origin.disrupted.low]
        fired = [look for look in looks if _firing(look)]
        count = max((len([each for each in look.alerts if each.get("state") == "firing"]) for look in fired), default=0)
        if fired:
            after = show_seconds(max(0.0, fired[0].at - origin.disrupted.low))
            verdict, reason = Verdict.BROKEN, f"{self.name} fired {after} after the fault, but must not fire"
            reason += f" ({labels_of(fired[0].alerts)})" if labels_of(fired[0].alerts) else ""
        else:
            watched = show_seconds(max(0.0, origin.until - origin.disrupted.low))
            verdict, reason = Verdict.HELD, f"{self.name} did not fire in the {watched} after the fault"
        return Finding.exact(verdict, reason, count, limit=0, unit="alerts", comparison="<=")

    def _in_time(self, timeline: Timeline, seen: _Seen, origin: Origin) -> Finding:
        undone = origin_of(timeline, "undone")
        undone = origin if isinstance(undone, str) else replace(undone, until=origin.until)
        since = "the undo" if undone.undone else "the fault"
        in_effect = undone.counted.low if undone.undone else origin.until
        parts = [self._fires(looks, seen, origin, in_effect) for looks in seen.servers]
        if self.resolves_within is not None:
            parts += [self._resolves(looks, seen, origin, undone, since) for looks in seen.servers]
        scrape, evaluation = show_seconds(seen.prometheus.scrape), show_seconds(seen.prometheus.evaluation)
        error = f"± {show_seconds(seen.error)}: scrape interval {scrape}, evaluation interval {evaluation}"
        # `combined` takes the numbers of the first decisive part, which should be the one closest to its limit.
        found = sorted((part for part in parts if part), key=_closeness)
        finding = combined(found)
        return replace(finding, detail={**finding.detail, "error of the times": error})

    def _fires(self, looks: Looks, seen: _Seen, origin: Origin, in_effect: float) -> Finding | None:
        limit, wanted = self.fires_within or 0.0, _wanted(looks)
        what = f"{self.name} {'fired' if looks.series == PROMETHEUS else 'reached Alertmanager'}"
        if began := looks.first(wanted, origin.disrupted.low):
            return _timed(what, origin.length(began), limit, "the fault", seen.error)
        if looks.series == ALERTMANAGER and seen.prometheus.first(_firing, origin.disrupted.low) is None:
            # There was nothing to send, which is already reported.
            return None
        end = min(in_effect, origin.until)
        watched = end - origin.disrupted.high
        if why := seen.unseen(origin.disrupted.low, end):
            return inconclusive(f"{what}: not observed, but {why}")
        verdict = Verdict.BROKEN if watched > limit + seen.error else Verdict.INCONCLUSIVE
        reason = f"{what}: not observed in the {show_seconds(max(0.0, watched))} that the fault was in effect"
        reason += f", at most {show_seconds(limit)} was allowed{self._why_not(looks, seen, origin)}"
        return Finding.bounded(verdict, reason, watched, low=watched, high=None, limit=limit, unit="s", comparison="<=")

    def _why_not(self, looks: Looks, seen: _Seen, origin: Origin) -> str:
        """Return what was seen instead of a firing alert, to be appended to a reason; may be empty."""
        later = [look for look in looks.good if look.at >= origin.disrupted.low]
        if looks.series == ALERTMANAGER:
            held = [each for look in later for each in look.alerts if each.get("state") == "suppressed"]
            by = [
                f"{how} by {', '.join(each[how])}"
                for each in held
                for how in ("silenced", "inhibited")
                if each.get(how)
            ]
            if by:
                return f"; it was {by[0]}"
            sends = [look.value["sends"] for look in seen.prometheus.good if "sends" in look.value]
            to = f", which sends alerts to {', '.join(sends[-1]) or 'no Alertmanager'}" if sends else ""
            return f"; it fired in Prometheus{to}"
        errors = [str(rule["error"]) for look in later for rule in look.rules if rule.get("error")]
        others = [each for look in later for each in look.others if each.get("state") == "firing"]
        waiting = [rule for look in later if look.has("pending") for rule in look.rules]
        if errors:
            return f"; its evaluation failed: {errors[0]}"
        if others:
            return f"; it fired with other labels: {labels_of(others[:1])}"
        if waiting:
            return f"; it was pending (for: {show_seconds(float(waiting[0].get('for') or 0))})"
        return "; its expression selected nothing"

    def _resolves(self, looks: Looks, seen: _Seen, origin: Origin, undone: Origin, since: str) -> Finding | None:
        limit, wanted = self.resolves_within or 0.0, _wanted(looks)
        if looks.first(wanted, origin.disrupted.low) is None:
            # Already reported as an alert that did not fire.
            return None
        what = f"{self.name} {'resolved' if looks.series == PROMETHEUS else 'was cleared in Alertmanager'}"
        if ended := looks.last(wanted, origin.disrupted.low):
            return _timed(what, undone.length(ended), limit, since, seen.error)
        if why := seen.unseen(undone.counted.high, origin.until):
            return inconclusive(f"{what}: not observed, but {why}")
        watched = origin.until - undone.counted.high
        verdict = Verdict.BROKEN if watched > limit + seen.error else Verdict.INCONCLUSIVE
        reason = f"{what}: not observed in the {show_seconds(max(0.0, watched))} after {since}"
        reason += f", at most {show_seconds(limit)} was allowed"
        return Finding.bounded(verdict, reason, watched, low=watched, high=None, limit=limit, unit="s", comparison="<=")


def _wanted(looks: Looks) -> Callable[[Look], bool]:
    return _firing if looks.series == PROMETHEUS else _active


def _end(timeline: Timeline) -> float:
    """Return the end of the last phase: the alerts are not watched any longer."""
    return max((phase.end for phase in timeline.phases if math.isfinite(phase.end)), default=0.0)


def _timed(what: str, length: Interval, limit: float, since: str, error: float) -> Finding:
    """Judge a time with its error in seconds; the finding's bounds include it."""
    low, high = max(0.0, length.low - error), length.high + error
    verdict = Verdict.HELD if high <= limit else Verdict.BROKEN if low > limit else Verdict.INCONCLUSIVE
    bounds = f"{show_length(Interval(low, high))} with the scrape and the evaluation interval"
    reason = f"{what} {show_length(length)} after {since} ({bounds}), at most {show_seconds(limit)} was allowed"
    detail = {what: f"{show_length(length)} after {since}"}
    return Finding.bounded(
        verdict, reason, length.high, low=low, high=high, limit=limit, unit="s", comparison="<=", detail=detail
    )


def _closeness(finding: Finding) -> float:
    """Return the share of the limit that is left; a finding without a number comes first."""
    if finding.margin is None or not finding.limit:
        return -math.inf
    return finding.margin / finding.limit
