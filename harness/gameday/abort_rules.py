"""What ends a game day: a PromQL value beyond a bound, an alert that fires, or an error budget that is spent already.

Each is a condition as experiments have it (``harness.experiment.abort``). All are checked before the day and before
each experiment; PromQL and alerts end a fault too. A condition that cannot be evaluated counts as met unless
``noData: continue``.

The share of the error budget that is spent over a window is the error ratio of that window divided by the error ratio
that the objective allows, (1 - good / total) / (1 - objective): the burn rate of the Google SRE Workbook, chapter 5,
"Alerting on SLOs", over the whole window (https://sre.google/workbook/alerting-on-slos/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from harness.common.clock import Clock
from harness.engine.steps.abort_watch import EVERY, AbortWatch
from harness.experiment.abort import BLIND, SERIES, AbortCondition
from harness.model.quantities import Share, show_decimal, show_seconds
from harness.model.timeline import Timeline
from harness.prometheus.client import Prometheus, PrometheusError, escape
from harness.prometheus.promql import WINDOW, checked_query

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_NoData = Literal["abort", "continue"]
_OF_THE_DAY = "game day: "
_NO_DATA = "what to do if it cannot be evaluated for 10 s"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class AlertAbort(_Part):
    """An alert of Prometheus that ends the day when it fires."""

    name: _Text = Field(description="name of the alert")
    labels: dict[str, str] = Field(
        default_factory=dict, description="labels that the alert must have, such as severity: page"
    )
    no_data: _NoData = Field(default="abort", description=_NO_DATA)

    @property
    def condition(self) -> AbortCondition:
        """The same as a condition of experiments."""
        wanted = {"alertname": self.name, "alertstate": "firing", **self.labels}
        shown = f"{self.name}{{{_matchers(self.labels)}}}" if self.labels else self.name
        name = f"alert {shown}: number of firing instances"
        matchers = _matchers(wanted)
        return AbortCondition(name=name, query=f"count(ALERTS{{{matchers}}})", above=0, no_data=self.no_data)

    @model_validator(mode="after")
    def _valid_labels(self) -> Self:
        checked_query(self.condition.query)
        return self


def _matchers(labels: Mapping[str, str]) -> str:
    return ",".join(f'{label}="{escape(value)}"' for label, value in labels.items())


class BudgetAbort(_Part):
    """An error budget that must not be spent: no game day spends the rest of it."""

    name: _Text = Field(description="name of the objective in the report")
    good: _Text = Field(
        description="PromQL: number of good events in $window, such as "
        'sum(increase(http_requests_total{code!~"5.."}[$window]))'
    )
    total: _Text = Field(description="PromQL: number of all events in $window")
    objective: Annotated[Share, Field(gt=0, lt=1)] = Field(description="share of events that must be good: 99.9%")
    days: Annotated[int, Field(strict=True, ge=1, le=366)] = Field(
        default=30, description="length of the objective's window in days"
    )
    spent: Share = Field(default=1.0, description="the day is aborted if more than this share of the budget is spent")
    no_data: _NoData = Field(default="abort", description=_NO_DATA)

    @model_validator(mode="after")
    def _counted_alike(self) -> Self:
        wrong = []
        for field, query in (("good", self.good), ("total", self.total)):
            try:
                checked_query(query)
            except ValueError as error:
                wrong.append(f"{field}: {error}")
            if WINDOW not in query:
                wrong.append(
                    f"{field}: found {query!r}, expected a range of {WINDOW}: both are counted over {self.days}d"
                )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def query(self) -> str:
        """The share of the budget that is spent; not a number without data."""
        good, total = (text.replace(WINDOW, f"{self.days}d") for text in (self.good, self.total))
        allowed = show_decimal(1 - self.objective, 9)
        # Without the last part a missing series would select nothing, which counts as not met.
        return f"(1 - ({good}) / ({total})) / {allowed} or on() vector(NaN)"

    @property
    def condition(self) -> AbortCondition:
        """The same as a condition of experiments."""
        goal = f"{show_decimal(100 * self.objective, 4)}% over {self.days} days"
        name = f"error budget of {self.name} ({goal}): share spent"
        return AbortCondition(name=name, query=self.query, above=self.spent, no_data=self.no_data)


class AbortRule(_Part):
    """One reason to end the day: exactly one of its fields is set."""

    promql: AbortCondition | None = Field(
        default=None, description="a PromQL value beyond a bound, as in the abort conditions of experiments"
    )
    alert: AlertAbort | None = Field(default=None, description="an alert that fires")
    error_budget: BudgetAbort | None = Field(default=None, description="an error budget that is spent already")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.promql, self.alert, self.error_budget)) != 1:
            raise ValueError("expected exactly one of promql, alert and errorBudget")
        if self.promql and "$namespace" in self.promql.query:
            raise ValueError("found $namespace, expected a query without it: a game day has no namespace")
        return self

    @property
    def condition(self) -> AbortCondition:
        """The condition that is evaluated."""
        found = self.promql or (self.alert or self.error_budget)
        assert found is not None
        return found if isinstance(found, AbortCondition) else found.condition

    @property
    def ends_faults(self) -> bool:
        """Whether it is also evaluated during the faults: not over the long window of an error budget."""
        return self.error_budget is None


def during_faults(rules: Sequence[AbortRule]) -> tuple[AbortCondition, ...]:
    """Return the conditions that end a fault too, with names that no condition of an experiment has."""
    conditions = (rule.condition for rule in rules if rule.ends_faults)
    return tuple(each.model_copy(update={"name": f"{_OF_THE_DAY}{each.name}"}) for each in conditions)


def ended_by(rules: Sequence[AbortRule], stopped_early: str, reason: str) -> str:
    """Return why an experiment's fault was ended or not injected, if that was by one of these rules; else empty."""
    names = tuple(f"{condition.name} " for condition in during_faults(rules))
    for text in (stopped_early, reason.partition("an abort condition is already met: ")[2]):
        if text.startswith(names):
            return text.removeprefix(_OF_THE_DAY)
    return ""


def unknown_alert(rules: Sequence[AbortRule], prometheus: Prometheus | None) -> str:
    """Return why an alert could never end the day, since Prometheus has no rule of its name; else an empty string."""
    wanted = [rule.alert.name for rule in rules if rule.alert and rule.alert.no_data == "abort"]
    if not wanted or prometheus is None:
        return ""
    try:
        known = sorted({rule.name for rule in prometheus.alerting_rules()})
    except PrometheusError:
        # Other servers with Prometheus' API may evaluate no rules. One that does not answer is found by `first_met`.
        return ""
    missing = [name for name in wanted if name not in known]
    if not missing:
        return ""
    names = ", ".join(known) or "none"
    return (
        f"alert {missing[0]}: found no such alerting rule in Prometheus, expected one of: {names}; "
        "correct the name, or set noData: continue"
    )


def first_met(rules: Sequence[AbortRule], prometheus: Prometheus | None, clock: Clock) -> str:
    """Evaluate the conditions now; return why the first is met, or an empty string.

    Takes as long as ``for`` of a condition that is beyond its bound, and 10 s if Prometheus does not answer.
    """
    conditions = [rule.condition for rule in rules]
    if prometheus is None:
        needed = [each.name for each in conditions if each.no_data == "abort"]
        return f"no Prometheus found, needed to evaluate: {needed[0]}" if needed else ""
    timeline = Timeline(clock.monotonic(), clock.wall())
    watch = AbortWatch(conditions, prometheus, "", timeline, clock)
    # A condition that goes back and forth is not decided by `met`, and must not be waited for without an end.
    limit = 2 * (BLIND + sum(each.lasting for each in conditions))
    try:
        while True:
            watch.query()
            now = timeline.offset(clock.monotonic())
            met = next(filter(None, (each.met(timeline, now) for each in conditions)), "")
            unclear = [each.name for each in conditions if _unclear(each, timeline)]
            if met or not unclear:
                return met
            if now > limit:
                return f"{unclear[0]} did not become clear within {show_seconds(limit)}"
            clock.sleep(EVERY)
    finally:
        watch.close()


def _unclear(condition: AbortCondition, timeline: Timeline) -> bool:
    """Return whether a later look may show that a condition is met: it is beyond its bound, or could not be read."""
    last = timeline.observations(SERIES, condition.name)[-1]
    if last.error is not None:
        return condition.no_data == "abort"
    values: Mapping[str, list[float]] = last.value
    return any(condition.beyond(value) for value in values["values"])
