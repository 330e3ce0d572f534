"""A game day as data: which experiments, in which order, how often or for how long, and what else holds on the day.

Game days are YAML files (see ``experiments/gamedays/``), read as experiments are: all mistakes in a file are reported
together, with line and field, before a cluster is contacted. Parts of a day that act while it runs (windows, abort
rules, background load) have a model in a module beside this one, a field in :class:`GameDayDeclaration`, and a
:class:`harness.gameday.rules.DayRule`, which ``rules_for`` creates.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from harness.cluster.protocol import Capability
from harness.common.clock import SystemClock
from harness.common.labels import parse_selector
from harness.common.suggestions import one_of
from harness.experiment.abort import with_unique_names
from harness.experiment.declaration import API_VERSION
from harness.gameday.abort_rules import AbortRule
from harness.gameday.background import Background
from harness.gameday.calendar import Calendar
from harness.gameday.response import Response
from harness.gameday.surprise import Surprise
from harness.model.quantities import DnsLabel, Duration
from harness.notifications.channels import Recipient

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _opens(calendar: Calendar) -> Calendar:
    if problem := calendar.problem(SystemClock().wall()):
        raise ValueError(problem)
    return calendar


def _unique(rules: list[AbortRule]) -> list[AbortRule]:
    with_unique_names([rule.condition for rule in rules])
    return rules


def _selector(text: str) -> str:
    parse_selector(text)
    return text


def _capability(text: str) -> str:
    known = [each.label for each in Capability]
    if text not in known:
        raise ValueError(f"found {text!r}, expected a capability of a cluster{one_of(text, known)}")
    return text


class Part(BaseModel):
    """Base of all parts of a game day: unknown keys are refused, and names are in camel case."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class DayMetadata(Part):
    """The name and labels of the game day."""

    name: DnsLabel = Field(description="unique name, a DNS label of at most 40 characters; two days of one name never "
                           "run at the same time")  # fmt: skip
    labels: dict[str, str] = Field(default_factory=dict, description="labels for selecting and grouping game days")


class Selection(Part):
    """Which experiments belong to the day. All conditions must be met."""

    paths: list[_Text] = Field(
        min_length=1,
        description="experiment files, folders, or patterns such as ../rollouts/*.yaml, relative to this file",
    )
    selector: Annotated[str, AfterValidator(_selector)] = Field(
        default="", description="selector on the experiments' metadata.labels, such as tier=core,team in (web, api)"
    )
    promises: list[_Text] = Field(
        default_factory=list,
        description="names of folders, such as self_healing: only experiments that are directly in one of them",
    )
    capabilities: list[Annotated[str, AfterValidator(_capability)]] = Field(
        default_factory=list,
        description="abilities that only some clusters have, such as node-power or metrics-server: only experiments "
        "that need at least one of them",
    )
    exclude: list[_Text] = Field(
        default_factory=list, description="names of experiments that are left out, or patterns such as node-*"
    )


class GameDayDeclaration(Part):
    """A game day file."""

    api_version: Literal["resilience/v1"] = Field(description=f"always {API_VERSION}")
    kind: Literal["GameDay"] = Field(description="always GameDay")
    metadata: DayMetadata = Field(description="name and labels")
    hypothesis: _Text = Field(description="what the day is to show, in one sentence")
    experiments: Selection = Field(description="which experiments belong to the day")
    # Strict, since pydantic otherwise takes 1 and texts such as "y" and "on" for true.
    twins: bool = Field(
        default=False, strict=True, description="whether the twins run too, as with --twins: each after its experiment"
    )
    order: Literal["listed", "random", "value"] | None = Field(
        default=None,
        description="listed: as paths lists them, by name within a folder; random: drawn from the seed for each "
        "round; value: what is worth most per minute first; by default value with a budget, otherwise listed",
    )
    rounds: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = Field(
        default=None, description="how often each experiment runs; by default once, or as often as duration allows"
    )
    duration: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None,
        description="for how long rounds are repeated, such as 4h: after it no experiment begins; in place of rounds",
    )
    budget: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None,
        description="how long the day may take, such as 45m: the experiments that are worth most per minute are chosen",
    )
    pause: Duration = Field(default=0.0, description="time between two experiments, such as 5m")
    windows: Annotated[Calendar, AfterValidator(_opens)] | None = Field(
        default=None, description="when experiments may run, and the days without game days; by default at any time"
    )
    abort: Annotated[list[AbortRule], AfterValidator(_unique)] = Field(
        default_factory=list,
        description="what ends the day: PromQL, an alert that fires, or an error budget that is spent already",
    )
    surprise: Surprise | None = Field(
        default=None, description="keep start, order and victims secret until the day is over; {} for the defaults"
    )
    load: Background | None = Field(
        default=None, description="load on a target that exists already, over the whole day; by default none"
    )
    notify: list[Recipient] = Field(
        default_factory=list, description="who is notified of the day, in addition to --notify and --webhook"
    )
    response: Response = Field(
        default=Response(),
        description="where the times of detection and mitigation come from, in addition to the marks",
    )

    @field_validator("duration", "budget")
    @classmethod
    def _one_length(cls, value: float | None, info: ValidationInfo) -> float | None:
        # Of a field, not of the model, so that the problem has a line. Only the fields above it are known here.
        other = "rounds" if info.field_name == "duration" else "duration"
        if value is not None and info.data.get(other) is not None:
            raise ValueError(f"found {info.field_name} and {other}, expected at most one of them")
        return value

    @property
    def calendar(self) -> Calendar:
        """When the day may run: at any time without windows."""
        return self.windows or Calendar()

    @property
    def shown_order(self) -> str:
        """The order of the experiments for the terminal."""
        return "drawn and sealed" if self.surprise and self.surprise.order else self.chosen_order

    @property
    def chosen_order(self) -> Literal["listed", "random", "value"]:
        """The order of the experiments in a round."""
        return self.order or ("listed" if self.budget is None else "value")
