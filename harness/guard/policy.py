"""The guard's policy: what may be broken where, when and how much of it, read from one YAML file of the project.

The defaults depend on the cluster: one of ours (local, kind) is made to be broken, any other is somebody's.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from harness.cluster.protocol import Provider
from harness.documents import load_document
from harness.errors import InputError, Problem
from harness.guard.contexts import DEFAULT_CONTEXTS
from harness.guard.safety import Cap, Caps, Safety
from harness.guard.windows import Windows
from harness.quantities import Duration

FILE = "resilience-guard.yaml"
OPT_IN_LABEL = "resilience.harness/opt-in"
_OURS = ("local", "kind", "fake")

_Label = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


def _not_everything(pattern: str) -> str:
    if not pattern.strip("*?"):
        raise ValueError(f"found {pattern!r}, which is every context; expected names or patterns such as staging-*")
    return pattern


def is_ours(provider: Provider) -> bool:
    """Whether a cluster is made to be broken, and holds nobody else's work."""
    return provider in _OURS


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Alerts(_Part):
    """Alerts during which nothing begins. Asked of the cluster's Prometheus."""

    severity: list[Annotated[str, StringConstraints(pattern=r"^[\w-]+$")]] = Field(
        default=["critical"], min_length=1, description="values of the label severity"
    )
    matchers: dict[_Label, str] = Field(default_factory=dict, description="further labels that an alert must have")


class Policy(_Part):
    """What the guard allows."""

    contexts: list[Annotated[str, AfterValidator(_not_everything)]] = Field(
        default=list(DEFAULT_CONTEXTS),
        description="contexts that may be broken without further ado",
    )
    namespaces: list[str] = Field(default=["*"], min_length=1, description="patterns of namespaces that may be hit")
    protected: list[str] = Field(
        default_factory=list, description="patterns of namespaces that are never hit, besides the cluster's own"
    )
    opt_in: bool = Field(
        default=False,
        strict=True,
        description=f"whether namespaces that a run did not make must have the label {OPT_IN_LABEL}=true to be hit",
    )
    caps: Caps = Field(default=Caps(), description="how much may be hit at once")
    max_duration: Duration | None = Field(default=None, description="how long an experiment may take at most")
    windows: Windows | None = Field(default=None, description="when experiments may run; always when left out")
    last_replica: Literal["declared", "spared"] = Field(
        default="declared",
        description="whether an experiment that says so may hit a workload's last healthy pod",
    )
    budgets: Literal["declared", "respected"] = Field(
        default="declared", description="whether an experiment that says so may ignore disruption budgets"
    )
    refuse_alerts: Alerts | None = Field(default=None, description="alerts during which nothing begins")

    def start_refusals(self, now: float, seconds: float) -> list[str]:
        """Why an experiment that takes at most so many seconds may not begin now (Unix seconds)."""
        found = []
        if self.max_duration is not None and seconds > self.max_duration:
            found.append(f"it may take {seconds:g} s, and the guard allows {self.max_duration:g} s")
        outside = self.windows.refusal(now, seconds) if self.windows else None
        return found + ([outside] if outside else [])

    def namespace_refusal(self, namespace: str) -> str | None:
        """Why nothing in a namespace may be hit, or None."""
        if any(fnmatchcase(namespace, pattern) for pattern in self.protected):
            return f"namespace {namespace} is protected by the guard"
        if not any(fnmatchcase(namespace, pattern) for pattern in self.namespaces):
            return f"namespace {namespace} is none of those that may be hit: {', '.join(self.namespaces)}"
        return None

    def safety_refusals(self, safety: Safety) -> list[str]:
        """What an experiment may not claim for itself here."""
        found = []
        if self.last_replica == "spared" and safety.last_replica == "allowed":
            found.append("the guard lets no experiment hit a workload's last healthy pod")
        if self.budgets == "respected" and safety.budgets == "ignored":
            found.append("the guard lets no experiment ignore disruption budgets")
        return found


# Clusters of ours hold nobody else's work: only what an experiment does not say openly is refused.
_LENIENT = Policy()
_STRICT = Policy(
    opt_in=True,
    caps=Caps(workload=Cap(share=0.5), cluster=Cap(count=10), nodes=Cap(count=1)),
    max_duration=900.0,
    last_replica="spared",
    budgets="respected",
    refuse_alerts=Alerts(),
)


class GuardFile(BaseModel):
    """What a project's guard file says; what it leaves out depends on the cluster."""

    model_config = ConfigDict(frozen=True)
    said: Policy = Policy()

    @property
    def contexts(self) -> tuple[str, ...]:
        """Patterns of contexts that may be broken."""
        return tuple(self.said.contexts)

    def policy_for(self, provider: Provider) -> Policy:
        """The whole policy on a cluster."""
        base = _LENIENT if is_ours(provider) else _STRICT
        said = {name: getattr(self.said, name) for name in self.said.model_fields_set}
        if "caps" in said:
            # One limit more must not lift the others; null does.
            own = {name: getattr(said["caps"], name) for name in said["caps"].model_fields_set}
            said["caps"] = base.caps.model_copy(update=own)
        return base.model_copy(update=said)


def load_guard(root: Path, named: str = "") -> GuardFile:
    """The guard of a project: the named file, else ``resilience-guard.yaml`` when there is one.

    Raises InputError with everything that is wrong with it."""
    file = root / (named or FILE)
    if not named and not file.exists():
        return GuardFile()
    document = load_document(file)
    if not isinstance(document.data, dict):
        raise InputError([Problem(f"found {type(document.data).__name__}, expected a guard's keys", file)])
    try:
        return GuardFile(said=Policy.model_validate(document.data))
    except ValidationError as error:
        raise InputError(document.problems(error)) from error
