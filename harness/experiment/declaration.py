"""An experiment as data: its hypothesis, workload, load, faults, and the objectives that must hold.

Experiments are YAML files (see ``experiments/``). All mistakes in a file are reported together, with line and field,
before a cluster is contacted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic.alias_generators import to_camel

from harness.cluster.kube.client import Object
from harness.common.errors import InputError
from harness.experiment.abort import AbortCondition, with_unique_names
from harness.experiment.isolation.layout import is_namespace
from harness.experiment.live.workload import LiveWorkload
from harness.experiment.load import Load
from harness.experiment.manifests import Workload
from harness.experiment.phases import Phases
from harness.experiment.timing import ALWAYS, Timing
from harness.experiment.workload_source import WorkloadSource
from harness.faults.base import Fault
from harness.model.quantities import DnsLabel, Duration, ObjectRef, Share
from harness.objectives.base import Objective
from harness.probes.base import SnapshotProbe
from harness.safety.guard.safety import Safety
from harness.traffic.prober.declaration import MOST_STREAMS, Probing
from harness.traffic.target.declaration import Target

# Each has processes of its own.
MOST_LOADS = 8
API_VERSION = "resilience/v1"


class _Part(BaseModel):
    # Unknown keys are refused: a misspelt key that is ignored would change the experiment silently.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Metadata(_Part):
    """The name and labels of the experiment."""

    name: DnsLabel = Field(
        description="unique name, a DNS label of at most 40 characters, since the namespace is named after it"
    )
    labels: dict[str, str] = Field(default_factory=dict, description="labels for selecting and grouping experiments")


class Control(_Part):
    """A control arm: a second copy of the workload, under the same load at the same time, without faults."""

    confidence: Annotated[
        Share,
        Field(gt=0, lt=1, description="confidence level of the bounds on the difference between the arms, such as 95%"),
    ] = 0.95


def _options(value: object) -> object:
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, dict | Control):
        expected = "true, false or options such as {confidence: 99%}"
        raise ValueError(f"found {value!r}, expected {expected}")  # noqa: TRY004 - pydantic's own
    return value


class Twin(_Part):
    """A deliberately weakened copy of the workload. The named objectives must be BROKEN for it: this shows that the
    experiment detects the weakness."""

    because: str = Field(default="", description="what this twin lacks, in a few words")
    patch: dict[ObjectRef, dict[str, Any] | None] = Field(
        min_length=1, description="strategic merge patch for each kind/name; null removes the object"
    )
    breaks: list[str] = Field(min_length=1, description="kinds or titles of the objectives that must be BROKEN")
    safety: Safety | None = Field(default=None, description="safety of the twin; by default that of the experiment")


class Declaration(_Part):
    """A resilience experiment: faults injected into a workload, and the objectives that must hold meanwhile."""

    api_version: Literal["resilience/v1"] = Field(description="version of the file format")
    kind: Literal["Experiment"] = Field(description="type of the file")
    metadata: Metadata = Field(description="name and labels of the experiment")
    hypothesis: Annotated[str, StringConstraints(min_length=10)] = Field(
        description="what is expected to hold under the faults, in one sentence"
    )
    workload: WorkloadSource = Field(
        description="the workload: a folder of manifests (relative to the experiments folder, or builtin/NAME), a "
        "kustomization, a Helm chart, a copy of a live namespace, or an existing namespace"
    )
    # Strict, since pydantic otherwise takes 1 and texts such as "y" and "on" for true.
    disruptive: bool = Field(
        default=False,
        strict=True,
        description="whether it affects more than its own namespace; such an experiment needs --allow-disruptive",
    )
    load: Load | None = Field(default=None, description="load on a Service of the workload; by default none")
    loads: Annotated[dict[DnsLabel, Load], Field(max_length=MOST_LOADS)] = Field(
        default_factory=dict,
        description="several loads at once, by name, in place of load; an objective judges the one that its load names",
    )
    prober: list[Probing] = Field(
        default_factory=list,
        max_length=MOST_STREAMS,
        description="streams of probes that measure how users reach the workload, with or without a load",
    )
    control: Annotated[Control | None, BeforeValidator(_options, json_schema_input_type=bool | Control)] = Field(
        default=None, description="whether to run a control arm: true, false, or an object with its options"
    )
    phases: Phases = Field(default=Phases(), description="durations of the phases")
    ready_timeout: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None,
        description="how long the workload may take to become ready, such as 5m; by default at least 2m, extended as "
        "its probes, deadlines and size require",
    )
    safety: Safety = Field(
        default=Safety(),
        description="what the experiment may do that the guard refuses by default, and additional limits",
    )
    abort: Annotated[list[AbortCondition], AfterValidator(with_unique_names)] = Field(
        default_factory=list, description="safety conditions in PromQL that undo the faults at once when met"
    )
    # Validated in `loading`, against the registry: other packages may add kinds.
    faults: list[dict[str, Any]] = Field(
        default_factory=list,
        description="faults to inject, each with its kind as a key; further keys say when and for how long",
    )
    objectives: list[dict[str, Any]] = Field(
        min_length=1, description="objectives that must hold, each with its kind as the only key"
    )
    probes: list[dict[str, Any]] = Field(
        default_factory=list,
        description="snapshot probes that some objectives need, each with its kind as the only key",
    )
    twins: dict[DnsLabel, Twin] = Field(
        default_factory=dict, description="weakened copies of the workload that must break an objective, by name"
    )

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets of every load and of every stream of the prober."""
        return targets_of(self.every_load, self.prober)

    @property
    def every_load(self) -> Mapping[str, Load]:
        """All loads by name; a single one has none."""
        return {"": self.load} if self.load else self.loads


def targets_of(loads: Mapping[str, Load], prober: Sequence[Probing]) -> tuple[Target, ...]:
    """Return the targets of every load and of every stream of the prober."""
    return (*(load.target for load in loads.values()), *(probing.aim.target for probing in prober))


@dataclass(frozen=True, slots=True)
class Experiment:
    """A validated experiment, ready to run.

    ``twin`` is the name of a twin and ``mutant`` that of a mutation operator; both are empty for the experiment itself.
    ``attempt`` counts from 1 in a series and is 0 otherwise. ``rerun`` is 1 or more when a pytest plug-in runs the
    experiment again. ``round`` counts from 1 in a game day and is 0 otherwise. With ``live`` the workload is empty
    until it is read from the cluster. ``content`` is a checksum of the file with its workload as read from files: it
    shows whether the experiment changed since a run. ``alias`` takes the place of the name in messages and in the
    cluster, but not in the record. ``timings`` are those of the faults, in the same order; a fault without one is
    injected at once and lasts until the fault phase ends. ``loads`` are several loads by name, in place of ``load``.
    ``weakened`` are the objects that the mutation operator
    changed.
    """

    name: str
    hypothesis: str
    workload: Workload
    objectives: tuple[Objective, ...]
    file: Path
    load: Load | None = None
    loads: Mapping[str, Load] = field(default_factory=dict)
    phases: Phases = field(default_factory=Phases)
    ready_timeout: float | None = None
    faults: tuple[Fault, ...] = ()
    timings: tuple[Timing, ...] = ()
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
    rerun: int = 0
    prober: tuple[Probing, ...] = ()
    live: LiveWorkload | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    content: str = ""
    round: int = 0
    alias: str = ""
    mutant: str = ""
    weakened: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name on objects in the cluster: the alias while the plan of a game day is sealed."""
        return self.alias or self.name

    def timing(self, number: int) -> Timing:
        """Return when the fault of this index is injected, and for how long."""
        return self.timings[number] if number < len(self.timings) else ALWAYS

    @property
    def injections(self) -> int:
        """How many times faults are injected, all together."""
        return sum(self.timing(number).times for number in range(len(self.faults)))

    @property
    def existing(self) -> str:
        """The existing namespace in which the experiment runs, or an empty string."""
        return self.live.existing if self.live else ""

    @property
    def deployed(self) -> tuple[Object, ...]:
        """The objects that the experiment applies: those of its workload, none in an existing namespace.

        Namespaces are not applied: those of the experiment take their place."""
        return () if self.existing else tuple(item for item in self.workload.objects if not is_namespace(item))

    @property
    def unread(self) -> bool:
        """Whether the objects of a live workload have not been read yet: without a cluster they are unknown."""
        return self.live is not None and not self.workload.objects

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets of every load and of every stream of the prober."""
        return targets_of(self.every_load, self.prober)

    @property
    def every_load(self) -> Mapping[str, Load]:
        """All loads by name; a single one has none."""
        return {"": self.load} if self.load else self.loads

    def loads_of(self, objective: Objective) -> Mapping[str, Load]:
        """Return the loads whose requests an objective judges: the one that it names, or all."""
        name = getattr(objective, "load", "")
        return {name: self.loads[name]} if name in self.loads else self.every_load

    def scaled(self, factor: float) -> Experiment:
        """Return the experiment with its load scaled: see ``Load.scaled``. Raises InputError."""
        try:
            loads = {name: load.scaled(factor) for name, load in self.loads.items()}
            return replace(self, load=self.load.scaled(factor) if self.load else None, loads=loads)
        except InputError as error:
            raise InputError([replace(problem, file=self.file) for problem in error.problems]) from error

    @property
    def variant(self) -> str:
        """What distinguishes a twin or a mutant from its experiment: ``TWIN``, ``mutant OPERATOR``, or ""."""
        return self.twin or (f"mutant {self.mutant}" if self.mutant else "")

    @property
    def title(self) -> str:
        """``name``, ``name[TWIN]`` or ``name[mutant OPERATOR]``, with the numbers of round, rerun and attempt."""
        name = f"{self.name}[{self.variant}]" if self.variant else self.name
        name += f" (round {self.round})" if self.round > 1 else ""
        name = self.alias or name
        name += f" (rerun {self.rerun})" if self.rerun else ""
        return f"{name} #{self.attempt}" if self.attempt else name

    @property
    def draw(self) -> str:
        """What random choices depend on, beside the seed: twins hit what their experiment hits, rounds draw anew."""
        return f"{self.name} (round {self.round})" if self.round > 1 else self.name

    def as_twin(self, name: str) -> Experiment:
        """Return the experiment with the workload of a twin. Raises KeyError for an unknown twin."""
        twin = (self.twins or {})[name]
        workload = self.workload if self.unread else self.workload.patched(twin.patch)
        made = replace(self, workload=workload, twin=name, breaks=tuple(twin.breaks), because=twin.because)
        return replace(made, safety=twin.safety or self.safety)

    def with_objects(self, workload: Workload) -> Experiment:
        """Return the experiment with its live workload as it was read; that of a twin is patched."""
        patch = (self.twins or {})[self.twin].patch if self.twin else {}
        return replace(self, workload=workload.patched(patch))


def describes(objective: Objective, name: str) -> bool:
    """Return whether a twin's ``breaks`` entry refers to this objective, by its kind or its title."""
    return name in {objective.kind, objective.title}
