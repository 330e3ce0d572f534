"""The guard's policy: where and when faults may be injected and how much they may hit, read from a YAML file.

The defaults are lenient in an owned cluster and strict in a foreign one (see ``harness.cluster.kube.ownership``).
"""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from harness.cluster.kube.ownership import Ownership
from harness.cluster.protocol import Cluster
from harness.common.documents import load_document
from harness.common.errors import InputError, Problem
from harness.model.quantities import FROM_FILE, Duration, Namespace
from harness.safety.guard.contexts import DEFAULT_CONTEXTS
from harness.safety.guard.hosts import HostEntry
from harness.safety.guard.safety import Cap, Caps, Safety, stricter_caps
from harness.safety.guard.windows import Windows

FILE = "resilience-guard.yaml"
OPT_IN_LABEL = "resilience.harness/opt-in"

# The grammar of label names in Prometheus.
_Label = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


def _not_everything(pattern: str) -> str:
    if not pattern.strip("*?"):
        raise ValueError(f"found {pattern!r}, which is every context; expected names or patterns such as staging-*")
    return pattern


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Alerts(_Part):
    """Alerts in the cluster's Prometheus that prevent an experiment from starting while they fire."""

    severity: list[Annotated[str, StringConstraints(pattern=r"^[\w-]+$")]] = Field(
        default=["critical"], min_length=1, description="values of the label severity"
    )
    matchers: dict[_Label, str] = Field(default_factory=dict, description="other labels that an alert must have")


class Existing(_Part):
    """The existing namespaces in which experiments may inject faults, and their own, stricter limits."""

    namespaces: list[Namespace] = Field(
        default_factory=list,
        description=f"names of namespaces that count as opted in, like those with the label {OPT_IN_LABEL}=true",
    )
    caps: Caps = Field(
        default=Caps(workload=Cap(count=1), namespace=Cap(count=1), nodes=Cap(count=1)),
        description="how much may be hit at once, in addition to caps; by default one pod of the namespace",
    )
    last_replica: Literal["declared", "spared"] = Field(
        default="spared",
        description="declared: an experiment with safety.lastReplica: allowed may hit a workload's last healthy pod; "
        "spared: none may",
    )

    @model_validator(mode="before")
    @classmethod
    def _names_alone(cls, found: object) -> object:
        return {"namespaces": found} if isinstance(found, list) else found


class Policy(_Part):
    """What the guard allows."""

    contexts: list[Annotated[str, AfterValidator(_not_everything)]] = Field(
        default=list(DEFAULT_CONTEXTS),
        description="patterns of kubeconfig contexts that experiments may use without --cluster-allow",
    )
    namespaces: list[str] = Field(default=["*"], min_length=1, description="patterns of namespaces that may be hit")
    protected: list[str] = Field(
        default_factory=list,
        description="patterns of namespaces that are never hit, in addition to the cluster's own namespaces",
    )
    opt_in: bool = Field(
        default=False,
        strict=True,
        description=f"whether namespaces that a run did not create must have the label {OPT_IN_LABEL}=true to be hit",
    )
    caps: Caps = Field(default=Caps(), description="how many pods and nodes may be hit at once")
    max_duration: Duration | None = Field(default=None, description="the maximum duration of an experiment")
    windows: Windows | None = Field(default=None, description="when experiments may run; by default at any time")
    last_replica: Literal["declared", "spared"] = Field(
        default="declared",
        description="declared: an experiment with safety.lastReplica: allowed may hit a workload's last healthy pod; "
        "spared: none may",
    )
    budgets: Literal["declared", "respected"] = Field(
        default="declared",
        description="declared: an experiment with safety.budgets: ignored may exceed disruption budgets; "
        "respected: none may",
    )
    metrics_api: Literal["declared", "spared"] = Field(
        default="declared",
        description="declared: an experiment with safety.metricsApi: allowed may take the metrics of pods away from "
        "every autoscaler of the cluster; spared: none may",
    )
    refuse_alerts: Alerts | None = Field(
        default=None, description="alerts that prevent an experiment from starting while they fire"
    )

    existing: Existing = Field(
        default=Existing(),
        description="existing namespaces that experiments may use: a list of names, or an object with their limits",
    )
    copy_secrets: bool | list[Annotated[str, StringConstraints(min_length=1)]] = Field(
        default=False,
        description="whether a copy of a namespace may contain Secrets: true, or a list of their names",
    )

    hosts: list[HostEntry] = Field(
        default_factory=list,
        description="hosts outside of the cluster that load and probes may be sent to: names, or objects with the "
        "addresses that they may have; by default none",
    )

    def in_existing(self) -> Policy:
        """Return the policy for faults in an existing namespace, which allows only what both sets of limits allow."""
        spared = "spared" in {self.last_replica, self.existing.last_replica}
        caps = stricter_caps(self.caps, self.existing.caps)
        return self.model_copy(update={"caps": caps, "last_replica": "spared" if spared else "declared"})

    def may_copy(self, secret: str) -> bool:
        """Return whether a copy of a namespace may contain a Secret of this name."""
        return self.copy_secrets if isinstance(self.copy_secrets, bool) else secret in self.copy_secrets

    def start_refusals(self, now: float, seconds: float) -> list[str]:
        """Return why an experiment that takes at most ``seconds`` may not begin at ``now`` (Unix seconds)."""
        found = []
        if self.max_duration is not None and seconds > self.max_duration:
            found.append(f"it may take {seconds:g} s, but the guard allows at most {self.max_duration:g} s")
        outside = self.windows.refusal(now, seconds) if self.windows else None
        return found + ([outside] if outside else [])

    def namespace_refusal(self, namespace: str) -> str | None:
        """Return why a namespace must not be hit, or None."""
        # ``fnmatch`` would normalize case by the rules of the platform; names in Kubernetes are lower-case everywhere.
        if any(fnmatchcase(namespace, pattern) for pattern in self.protected):
            return f"namespace {namespace} is protected by the guard"
        if not any(fnmatchcase(namespace, pattern) for pattern in self.namespaces):
            return f"namespace {namespace} matches none of the guard's namespaces: {', '.join(self.namespaces)}"
        return None

    def safety_refusals(self, safety: Safety) -> list[str]:
        """Return the permissions under ``safety`` of an experiment that the guard refuses."""
        found = []
        if self.last_replica == "spared" and safety.last_replica == "allowed":
            found.append("the guard does not allow an experiment to hit a workload's last healthy pod")
        if self.budgets == "respected" and safety.budgets == "ignored":
            found.append("the guard does not allow an experiment to ignore disruption budgets")
        if self.metrics_api == "spared" and safety.metrics_api == "allowed":
            found.append("the guard does not allow an experiment to take metrics away from the cluster's autoscalers")
        return found


# An owned cluster has no other users: only what an experiment does not declare is refused.
_LENIENT = Policy()
_STRICT = Policy(
    opt_in=True,
    caps=Caps(workload=Cap(share=0.5), cluster=Cap(count=10), nodes=Cap(count=1)),
    max_duration=900.0,
    last_replica="spared",
    budgets="respected",
    metrics_api="spared",
    refuse_alerts=Alerts(),
)


class GuardFile(BaseModel):
    """The content of a project's guard file. The defaults of omitted keys depend on the cluster."""

    model_config = ConfigDict(frozen=True)
    given: Policy = Policy()

    @property
    def contexts(self) -> tuple[str, ...]:
        """Patterns of kubeconfig contexts that experiments may use."""
        return tuple(self.given.contexts)

    def policy_for(self, cluster: Cluster, allowed: Collection[str] = ()) -> Policy:
        """Return the policy for a cluster; ``allowed`` are the contexts of ``--cluster-allow``. Raises ApiError."""
        base = _LENIENT if cluster.ownership is Ownership.OWNED or self._is_disposable(cluster, allowed) else _STRICT
        given = {name: getattr(self.given, name) for name in self.given.model_fields_set}
        if "caps" in given:
            # Setting one cap keeps the defaults of the others; only null removes a cap.
            own = {name: getattr(given["caps"], name) for name in given["caps"].model_fields_set}
            given["caps"] = base.caps.model_copy(update=own)
        if "existing" in given:
            limits = given["existing"].caps
            own = {name: getattr(limits, name) for name in limits.model_fields_set}
            caps = Existing().caps.model_copy(update=own)
            given["existing"] = given["existing"].model_copy(update={"caps": caps})
        return base.model_copy(update=given)

    def _is_disposable(self, cluster: Cluster, allowed: Collection[str]) -> bool:
        """Return whether the user allowed a foreign kind cluster by name, which makes it as disposable as an owned one.

        A kind cluster usually exists for tests, but its context matches the default patterns, so only an explicit entry
        shows intent. Any other foreign cluster needs such an entry to be used at all, so there it proves nothing more.
        """
        written = self.given.contexts if "contexts" in self.given.model_fields_set else []
        named = cluster.context in allowed or any(fnmatchcase(cluster.context, pattern) for pattern in written)
        return cluster.provider == "kind" and named


def load_guard(file: Path) -> GuardFile:
    """Read a guard file. Raises InputError with all mistakes in it."""
    document = load_document(file)
    if not isinstance(document.data, dict):
        raise InputError([Problem(f"found {type(document.data).__name__}, expected a mapping of guard keys", file)])
    try:
        return GuardFile(given=Policy.model_validate(document.data, context=FROM_FILE))
    except ValidationError as error:
        raise InputError(document.problems(error, model=Policy)) from error
