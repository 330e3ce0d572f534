"""A fault: frozen parameters that describe a disruption, and the operations on it.

A fault chooses its victims (read-only), injects (after its undo is in the journal), shows evidence that it took effect,
and can undo what its journal entries describe. Undoing works from data alone, so that another process can do it after
a crash; that is why ``inject`` is not a context manager. The kinds are the classes in ``harness/faults``, one file
each, and are discovered there; other packages add theirs by the entry point ``resilience.faults``.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.permissions import Permission
from harness.cluster.kube.transport import ExecResult
from harness.cluster.protocol import Capability, Cluster
from harness.common.clock import Clock
from harness.faults.needs import Need, WorkloadManifests, selector_matches, workload_exists
from harness.model.timeline import Victim
from harness.safety.guard.blast import Strike
from harness.safety.undo.journal import Journal


class Effect(StrEnum):
    """What a fault changes. The contract tests compare it before and after."""

    PODS = "pods are deleted"
    WORKLOADS = "the spec of a workload is changed"
    CONTAINERS = "containers are restarted in their pods"
    PROCESSES = "processes in containers are stopped"
    STRESS = "resources are used up"
    APPLICATIONS = "requests are sent to an application's own switches"
    NODES = "nodes are cordoned"
    MACHINES = "the machines below nodes are changed"
    METRICS_API = "the metrics of pods are served by another Service, or by none"


@dataclass(frozen=True, slots=True)
class FaultContext:
    """What a fault may use: the cluster, its own namespace, a seeded random source, time, and the undo journal."""

    cluster: Cluster
    namespace: str
    rng: random.Random
    clock: Clock
    journal: Journal

    @property
    def api(self) -> KubeApi:
        return self.cluster.api


@dataclass(frozen=True, slots=True)
class Evidence:
    """Whether the fault took effect, and what shows it, in one sentence."""

    proven: bool
    text: str


class Fault(BaseModel):
    """Base of all faults: the fields of a subclass are its parameters in an experiment (camelCase in YAML)."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    kind: ClassVar[str]
    # Parameters as an experiment on `deployment/podinfo` (pods labelled app=podinfo, process podinfo) would give them:
    # used by the contract tests and in docs/reference.md.
    example: ClassVar[Mapping[str, Any]] = {}
    effect: ClassVar[Effect]
    requires: ClassVar[frozenset[Capability]] = frozenset()
    # Whether it hits more than the experiment's own namespace, which the experiment must then declare.
    disruptive: ClassVar[bool] = False

    # Whether it is a change that people make on purpose, such as a rollout, and no failure.
    on_purpose: ClassVar[bool] = False

    # Whether the API server itself enforces disruption budgets on it, as it does for evictions.
    obeys_budgets: ClassVar[bool] = False

    def takes(self, victim: Victim) -> int:
        """Return how many pods it removes from a workload that is its victim."""
        del victim
        return 0

    def strike(self, victims: tuple[Victim, ...]) -> Strike:
        """Return the description of the hit on these victims that the guard checks."""
        return Strike(self.kind, victims, {victim: self.takes(victim) for victim in victims}, self.obeys_budgets)

    def pretend(self, command: Sequence[str]) -> ExecResult:
        """Return what a command of this fault prints if everything is as expected. Used by dry runs, which run none."""
        del command
        return ExecResult("", "", 0)

    @property
    def selectors(self) -> Sequence[str]:
        """The label selectors that must match pods of the workload, checked before anything is changed."""
        return ()

    @property
    def workloads(self) -> Sequence[str]:
        """The ``kind/name`` of workloads that must exist, checked before anything is changed."""
        return ()

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield what the workload lacks for this fault, for ``harness validate``: containers, settings, objects.

        Only what is certain from the manifests (see ``harness/faults/needs.py``). An override in a subclass of
        ``PodTarget``, ``NodeTarget`` or ``WorkloadTarget`` begins with ``yield from super().needs_of(workload)``.
        """
        for selector in self.selectors:
            yield from selector_matches(self._field_of(selector, "selector"), selector, workload)
        for name in self.workloads:
            yield from workload_exists(self._field_of(name, "of"), name, workload)

    def lasting(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield what undo would leave of this fault in an existing namespace, which is then refused there."""
        del workload
        yield from ()

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the API server must allow for choosing, injecting, evidence and undo; the journal adds its own. Checked
        before anything is changed, and the source of the Roles that ``harness rbac`` prints."""
        return frozenset()

    @abstractmethod
    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        """Return the victims that ``inject`` would hit, by the seeded choice. Read-only. Raises Inconclusive when
        nothing matches: a fault without victims proves nothing."""

    @abstractmethod
    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        """Write the undo to the journal, then disrupt the victims."""

    @abstractmethod
    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Return whether the fault took effect. Called while the fault is injected, repeatedly until it is proven.

        What evidence compares with is the state before the fault: a number of replicas, a container id, a restart
        count. ``choose`` records it in ``Victim.before`` as a frozen dataclass of the fault's own module, and evidence
        reads it with ``victim.state_before(ThatClass)``. The other places are taken: ``Victim.detail`` is text for
        people, a journal entry is the input of ``undo`` alone, and an attribute of the fault would be shared by all
        attempts of a series. Only a measurement that evidence itself makes over several calls, such as how long a value
        has not changed, is a private attribute.
        """

    def unfinished(self, context: FaultContext, victims: tuple[Victim, ...]) -> str:
        """Return which part of the effect has not ended although the fault is undone, such as a terminating pod.

        Empty when all of it has ended. The recovery phase waits for that; until then no objective is HELD. Not the
        workload's recovery, which objectives measure.
        """
        del context, victims
        return ""

    @classmethod
    @abstractmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Undo what a journal entry of this kind describes: idempotent and verified. Returns what was done."""

    def _field_of(self, value: str, default: str) -> str:
        """Return the name, as in a file, of the parameter that has this value."""
        fields = self.model_dump(by_alias=True, exclude_unset=True)
        return next((name for name, found in fields.items() if found == value), default)
