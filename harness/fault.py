"""A fault: frozen parameters that say what breaks, and the four things that can be done with it.

A fault chooses its victims (reading only), injects (after its undo is in the journal), shows evidence that it bit, and
knows how to take back what its journal entries describe. Undoing works from data alone, so that another process can do
it after a crash; that is why ``inject`` is no context manager. The kinds stand in ``harness/faults``, one file each,
and are found by their place; other packages add theirs by the entry point ``resilience.faults``.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from harness.clock import Clock
from harness.cluster.api import KubeApi
from harness.cluster.permissions import Permission
from harness.cluster.protocol import Capability, Cluster
from harness.cluster.transport import ExecResult
from harness.observation import Victim
from harness.undo import Journal


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
    """Whether the fault bit, and what shows it, in one sentence."""

    proven: bool
    text: str


class Fault(BaseModel):
    """Base of all faults: the fields of a subclass are its parameters in an experiment (camelCase in YAML)."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    kind: ClassVar[str]
    requires: ClassVar[frozenset[Capability]] = frozenset()
    # Whether it hits more than the experiment's own namespace, which the experiment must then declare.
    disruptive: ClassVar[bool] = False

    # Whether the API server itself holds disruption budgets against what it does, as it does with evictions.
    asks_budgets: ClassVar[bool] = False

    def takes(self, victim: Victim) -> int:
        """How many pods it takes away from a workload that is its victim."""
        del victim
        return 0

    def pretend(self, command: Sequence[str]) -> ExecResult:
        """What a command of its would answer where all is as it expects: for looking ahead, when none is run."""
        del command
        return ExecResult("", "", 0)

    @property
    def selectors(self) -> Sequence[str]:
        """The label selectors that must match pods of the workload, checked before anything is touched."""
        return ()

    @property
    def workloads(self) -> Sequence[str]:
        """The ``kind/name`` of workloads that must exist, checked before anything is touched."""
        return ()

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the API server must allow for choosing, injecting, evidence and undoing; the journal's own are not in
        it. Checked before anything is touched, and what ``harness rbac`` makes Roles of."""
        return frozenset()

    @abstractmethod
    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        """The victims that ``inject`` would hit, by the seeded choice. Reads only. Raises Inconclusive when nothing
        matches: a fault that hits nothing proves nothing."""

    @abstractmethod
    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        """Write the undo to the journal, then break it."""

    @abstractmethod
    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Whether it bit. Asked while the fault is still there; may be asked again until it says yes."""

    @classmethod
    @abstractmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Take back what a journal entry of this kind describes: idempotent, verified. Returns what was done."""
