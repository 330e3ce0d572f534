"""An experiment as data: what is believed, what runs, what is broken, and which objectives must hold meanwhile.

Written as YAML (see ``experiments/``); every mistake in a file is found and said at once, with its line and field,
before any cluster is asked anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from harness.abort import AbortCondition
from harness.fault import Fault
from harness.guard.safety import Safety
from harness.manifests import Workload
from harness.objective import Objective
from harness.observation import BASELINE, FAULT, RECOVERY, SETTLE
from harness.probe import SnapshotProbe
from harness.prober.declaration import MOST_STREAMS, Probing
from harness.quantities import Duration, Rate, Share

API_VERSION = "resilience/v1"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
Reference = Annotated[str, StringConstraints(pattern=r"^[a-z]+/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Metadata(_Part):
    """What the experiment is called: a DNS label of at most 40 characters, since a namespace is named after it."""

    name: Name
    labels: dict[str, str] = Field(default_factory=dict)


class Phases(_Part):
    """How long each phase takes. ``recovery`` is a maximum: it ends as soon as every clock has seen the recovery;
    ``settle`` follows it, and a recovery that is undone within it does not count."""

    baseline: Duration = 10.0
    fault: Duration = 10.0
    recovery: Duration = 60.0
    settle: Duration = 5.0

    def length(self, name: str) -> float:
        """Seconds of a phase, at most."""
        return {BASELINE: self.baseline, FAULT: self.fault, RECOVERY: self.recovery, SETTLE: self.settle}[name]


class Load(_Part):
    """The load: a profile's shape at a rate, one behaviour per arrival, against a NodePort Service of the workload."""

    profile: str = Field("steady", description="a file in loadprofiles/, without .yaml")
    rate: Rate = Field(description="arrivals per second at 100% of the profile, such as 50/s")
    target: Annotated[str, StringConstraints(pattern=r"^service/[a-z0-9-]+(:[a-z0-9-]+)?$")] = Field(
        description="service/NAME or service/NAME:PORT, a port's name or number"
    )
    behaviour: str = Field("http", description="what one arrival does: a file in loadprofiles/, without .py")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the behaviour")

    @property
    def service(self) -> str:
        return self.target.removeprefix("service/").partition(":")[0]

    @property
    def port(self) -> str:
        """The port's name or number; empty for the only one."""
        return self.target.partition(":")[2]


class Control(_Part):
    """A control arm: a second copy of the workload under the same load at the same time, to which nothing is done."""

    confidence: Annotated[Share, Field(gt=0, lt=1, description="of the bounds on what tells the arms apart")] = 0.95


def _options(value: object) -> object:
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, dict | Control):
        expected = "true, false or options such as {confidence: 99%}"
        raise ValueError(f"found {value!r}, expected {expected}")  # noqa: TRY004 - pydantic's own
    return value


class Twin(_Part):
    """A broken copy of the workload, which must come out BROKEN on the named objectives, or nothing is proven."""

    because: str = Field("", description="what this twin leaves out, in a few words")
    patch: dict[Reference, dict[str, Any] | None] = Field(
        min_length=1, description="kind/name → strategic merge patch; null leaves the object out"
    )
    breaks: list[str] = Field(min_length=1, description="the objectives, by kind or title, that must come out BROKEN")
    safety: Safety | None = Field(None, description="the twin's own; that of the experiment when left out")


class Declaration(_Part):
    """The file's top level; faults, objectives and probes are looked up by their kind afterwards."""

    api_version: Literal["resilience/v1"]
    kind: Literal["Experiment"]
    metadata: Metadata
    hypothesis: Annotated[str, StringConstraints(min_length=10)]
    workload: str = Field(description="a folder of manifests, relative to the experiments folder, or builtin/NAME")
    disruptive: bool = Field(
        False, strict=True, description="whether it hits more than its own namespace; it runs with --allow-disruptive"
    )
    load: Load | None = None
    prober: list[Probing] = Field(
        default_factory=list, max_length=MOST_STREAMS, description="probes of the users' way in, beside any load"
    )
    control: Annotated[Control | None, BeforeValidator(_options, json_schema_input_type=bool | Control)] = Field(
        None, description="whether there is a control arm; an object gives its options"
    )
    phases: Phases = Phases()
    safety: Safety = Field(default=Safety(), description="what it does that the guard would refuse unless it is said")
    abort: list[AbortCondition] = Field(
        default_factory=list, description="PromQL conditions that undo the fault at once, for safety"
    )
    faults: list[dict[str, Any]] = Field(default_factory=list)
    objectives: list[dict[str, Any]] = Field(min_length=1)
    probes: list[dict[str, Any]] = Field(default_factory=list)
    twins: dict[Name, Twin] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A checked experiment, ready to run. ``twin`` is the name of the twin that this one is, or empty; ``attempt``
    counts from 1 where it is run several times."""

    name: str
    hypothesis: str
    workload: Workload
    objectives: tuple[Objective, ...]
    file: Path
    load: Load | None = None
    phases: Phases = field(default_factory=Phases)
    faults: tuple[Fault, ...] = ()
    abort: tuple[AbortCondition, ...] = ()
    safety: Safety = field(default_factory=Safety)
    probes: tuple[SnapshotProbe, ...] = ()
    twins: Mapping[str, Twin] | None = None
    disruptive: bool = False
    twin: str = ""
    breaks: Sequence[str] = ()
    because: str = ""
    control: Control | None = None
    attempt: int = 0
    prober: tuple[Probing, ...] = ()

    @property
    def title(self) -> str:
        """``name`` or ``name[twin]``, with the number of the attempt where there are several."""
        name = f"{self.name}[{self.twin}]" if self.twin else self.name
        return f"{name} #{self.attempt}" if self.attempt else name

    def as_twin(self, name: str) -> Experiment:
        """The experiment with a twin's workload in place of its own. KeyError when there is no such twin."""
        twin = (self.twins or {})[name]
        workload = self.workload.patched(twin.patch)
        made = replace(self, workload=workload, twin=name, breaks=tuple(twin.breaks), because=twin.because)
        return replace(made, safety=twin.safety or self.safety)


def describes(objective: Objective, name: str) -> bool:
    """Whether a twin's ``breaks`` entry means this objective: by its kind, or by its title when there are several."""
    return name in {objective.kind, objective.title}
