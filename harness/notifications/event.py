"""The JSON that a webhook receives for an event of a run. Its JSON Schema: ``harness schema notification``."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from harness.engine.notification_options import Event
from harness.model.verdict import Verdict
from harness.results.fact import Fact

API_VERSION: Literal["resilience/v1"] = "resilience/v1"
Urgency = Literal["info", "warning", "critical"]


class Message(Fact):
    """Base of what is sent to webhooks: a version, an id that retries share, and the time of the event."""

    # The version is that of experiment files, under the name that it has there.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True)

    api_version: Literal["resilience/v1"] = Field(default=API_VERSION, alias="apiVersion")
    id: str = Field(description="the same in all retries: also the header Idempotency-Key")
    at: str = Field(description="time of day of the event, RFC 3339 in UTC")
    run: str = Field(description="id of the run")


class ClusterFacts(Fact):
    """The cluster of a run."""

    context: str
    server: str
    provider: str
    kubernetes: str


class GameDayFacts(Fact):
    """The game day of a run."""

    name: str
    sealed: str = Field(default="", description="SHA-256 of the sealed plan; empty: the day is no surprise")
    verdict: Verdict | None = Field(default=None, description="verdict of the day; null: it has not ended yet")
    reason: str = Field(default="", description="what the verdict consists of, in one line")


class Missed(Fact):
    """An objective that is not HELD, of an experiment that did not pass."""

    experiment: str
    twin: str = ""
    objective: str = Field(description="title of the objective; empty: the experiment as a whole")
    verdict: Verdict
    reason: str


class Notification(Message):
    """An event of a run."""

    kind: Literal["Notification"] = "Notification"
    event: Event
    urgency: Urgency = Field(description="critical: manual action is needed in the cluster")
    title: str = Field(description="one line for people")
    text: str = Field(description="the same in full, as plain text of several lines")
    cluster: ClusterFacts | None = Field(default=None, description="null: the run did not connect to a cluster")
    game_day: GameDayFacts | None = Field(default=None, description="null: the run has no game day")
    verdict: Verdict | None = Field(default=None, description="verdict of the run; null: there is none (yet)")
    reason: str = Field(default="", description="why the run was aborted")
    missed: list[Missed] = Field(default_factory=list)
    left_behind: list[str] = Field(default_factory=list, description="what is still in the cluster, one line each")
    passed: int = Field(default=0, description="number of experiments and twins that passed")
    failed: int = Field(default=0, description="number of experiments and twins that did not pass")
    skipped: int = Field(default=0, description="number of experiments and twins that were skipped")
    report: str = Field(default="", description="path of the HTML report on the machine of the run")
    link: str = Field(default="", description="URL of the report or of the CI job, if it is known")
