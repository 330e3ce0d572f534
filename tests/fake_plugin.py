"""The cluster of plugin tests: made in memory for each process, with faults and objectives that do as they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import harness.experiment.registry
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import Object
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import CONFIG_MAPS
from harness.cluster.protocol import Capability, Cluster
from harness.common.clock import SystemClock
from harness.common.errors import ApiError, ClusterUnreachable, HarnessError
from harness.common.progress import Progress
from harness.engine.choose_cluster import Chosen, ClusterRequest
from harness.faults.base import Evidence, Fault, FaultContext
from harness.model.finding import Finding
from harness.model.timeline import Timeline, Victim
from harness.model.verdict import Verdict
from harness.objectives.base import Objective
from tests.fake_run import controlled_cluster

MARK: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken"}}


class Mark(Fault):
    """Leaves a ConfigMap behind, which its undo takes away. ``fails`` names the step that goes wrong, and how."""

    kind: ClassVar[str] = "mark"
    fails: str = ""
    error: str = "harness"
    mark: str = "broken"

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        self._fail("choose")
        return (Victim("ConfigMap", self.mark, "uid-1"),)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        resists = self.fails == "undo"
        parameters = {"namespace": context.namespace, "resists": resists, "mark": self.mark}
        context.journal.write(self.kind, "take the mark away", parameters)
        context.api.create(CONFIG_MAPS, {**MARK, "metadata": {"name": self.mark}}, context.namespace)
        print("it is marked", flush=True)
        self._fail("inject")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        self._fail("evidence")
        return Evidence(proven=self.fails != "proof", text="the mark is there")

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        if parameters["resists"]:
            raise HarnessError("the mark resists")
        try:
            cluster.api.delete(CONFIG_MAPS, parameters.get("mark", "broken"), parameters["namespace"])
        except ApiError as error:
            if not error.not_found:
                raise
        return "taken away"

    def _fail(self, step: str) -> None:
        if self.fails == step:
            raise ERRORS[self.error]


ERRORS: dict[str, BaseException] = {
    "harness": HarnessError("told to fail"),
    "api": ApiError(403, "Forbidden", "told to fail"),
    "bug": ZeroDivisionError("a bug"),
    "interrupt": KeyboardInterrupt(),
}


class Told(Objective):
    """Says what it was told to say; ``crashes`` instead if told so. ``steady`` is its finding of the baseline."""

    kind: ClassVar[str] = "told"
    says: Verdict = Verdict.HELD
    steady: Verdict | None = None
    crashes: bool = False

    @property
    def checks_baseline(self) -> bool:
        return self.steady is not None

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        if self.crashes:
            raise ZeroDivisionError("a judge's own mistake")
        verdict = self.steady if phases is not None and self.steady else self.says
        return Finding.exact(verdict, f"told {verdict}", 1.0, limit=2.0, unit="s", comparison="<=", samples=7)


class ReplicasTold(Told):
    """Like it, but BROKEN where the workload has one replica: what twins are for."""

    kind: ClassVar[str] = "replicasTold"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        seen = timeline.latest("workloads", "deployment/shop")
        one = seen is not None and seen.value["desired"] == 1
        verdict = Verdict.BROKEN if one else Verdict.HELD
        return Finding(verdict=verdict, reason="one replica" if one else "three replicas")


def kinds() -> dict[str, Callable[[], dict[str, Any]]]:
    """The kinds above beside the real ones, by the function of ``harness.experiment.registry`` that returns them."""
    faults = {**harness.experiment.registry.faults(), "mark": Mark}
    objectives = {**harness.experiment.registry.objectives(), "told": Told, "replicasTold": ReplicasTold}
    return {"faults": lambda: faults, "objectives": lambda: objectives}


@dataclass
class FakeChoice:
    """Stands in for choosing a cluster; ``cluster.log`` beside the project tells what it was asked."""

    root: Path
    unreachable: bool = False
    images: Sequence[str] = ("podinfo",)
    lacks: frozenset[Capability] = frozenset()
    cluster: FakeCluster | None = None
    ownership: Ownership = Ownership.OWNED

    def choose(self, target: ClusterRequest, progress: Progress) -> Chosen:
        self._log(f"choose {target.selection}")
        if self.unreachable or (self.root / "cluster.gone").exists():
            raise ClusterUnreachable("nobody answers")
        made = not (self.root / "cluster.up").exists()
        (self.root / "cluster.up").touch()
        able = frozenset(Capability) - self.lacks
        self.cluster = controlled_cluster(SystemClock(), capabilities=able, images=self.images)
        self.cluster.ownership = self.ownership
        self._log(f"made {made}")
        return Chosen(self.cluster, made=made)

    def take_down(self, provider: str, target: ClusterRequest, progress: Progress) -> None:
        self._log("take down")
        (self.root / "cluster.up").unlink()
        if self.cluster:
            self._log(f"left: {[name for name in self.cluster.server.namespaces() if name.startswith('rh-')]}")

    def happened(self) -> list[str]:
        """The log, line by line."""
        log = self.root / "cluster.log"
        return log.read_text().splitlines() if log.exists() else []

    def _log(self, line: str) -> None:
        with (self.root / "cluster.log").open("a") as stream:
            stream.write(line + "\n")
