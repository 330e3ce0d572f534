"""Run experiments on a live Kubernetes cluster and judge each outage against SLOs.

The names in ``__all__`` are public, every other module may change without notice. A name is imported at its first use.

Faults of other packages
    Subclass ``Fault`` (with ``PodTarget`` or ``WorkloadTarget``) and use ``FaultContext``, ``Evidence``, ``Victim``,
    ``Strike``, ``Journal``, ``check_victims`` and, for the API server, ``KubeApi``, ``Object`` (a decoded JSON object),
    ``Resource`` and its constants (``PODS``, ``SERVICES``, ``CONFIG_MAPS``, ``DEPLOYMENTS``, ``STATEFUL_SETS``,
    ``DAEMON_SETS``, ``NODES``), ``Permission``, ``allow`` and ``EXEC_VERBS`` (the verbs that running a command needs).
    An override of ``needs_of`` reads the ``WorkloadManifests`` and yields each ``Need``.
Objectives and probes of other packages
    Subclass ``Objective`` or ``LiveObjective`` and return a ``Finding``; ``Due`` maps a phase to the number of requests
    that can be due in it. Subclass ``SnapshotProbe`` and append an ``Observation`` to the ``Timeline`` of its context.
Load behaviours
    Subclass ``Behaviour``; a request's outcome is ``OK`` or a short reason. Clients of a database subclass
    ``Registers``: the ``Outcome`` is ``ok``, ``failed`` or ``unknown``, ``NOTHING`` the value of an unwritten key.
Python tests and parameters
    The ``experiment`` fixture is a ``PythonExperiment``; ``FakeCluster`` and ``FakeClock`` are for tests of your kinds.
    ``Duration`` (seconds or ``20s``), ``Share`` (0 to 1 or ``99%``) and ``Selector`` (``app=shop``) are pydantic types.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from harness._names import HOMES

if TYPE_CHECKING:
    from harness.cluster.fake.cluster import FakeCluster
    from harness.cluster.kube.client import KubeApi, Object
    from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
    from harness.cluster.kube.resources import (
        CONFIG_MAPS,
        DAEMON_SETS,
        DEPLOYMENTS,
        NODES,
        PODS,
        SERVICES,
        STATEFUL_SETS,
        Resource,
    )
    from harness.cluster.kube.transport import ExecResult
    from harness.cluster.protocol import Capability, Cluster
    from harness.common.clock import Clock, FakeClock
    from harness.common.errors import (
        ApiError,
        CapabilityMissing,
        ClusterError,
        ClusterRefused,
        ClusterUnreachable,
        HarnessError,
        Inconclusive,
        InputError,
        NotYet,
        Problem,
        PrometheusUnusable,
        TimedOut,
        UndoFailed,
    )
    from harness.engine.outcome import Broken, Undecided
    from harness.engine.python_experiment import PythonExperiment
    from harness.faults.apply import Apply
    from harness.faults.bad_rollout import BadRollout
    from harness.faults.base import Evidence, Fault, FaultContext
    from harness.faults.container_kill import ContainerKill
    from harness.faults.cordon import Cordon
    from harness.faults.drain import Drain
    from harness.faults.metrics_outage import MetricsOutage
    from harness.faults.needs import Need, WorkloadManifests
    from harness.faults.node_cut_off import NodeCutOff
    from harness.faults.node_pause import NodePause
    from harness.faults.node_service import NodeService
    from harness.faults.node_stop import NodeStop
    from harness.faults.node_stress import NodeStress
    from harness.faults.oom_kill import OomKill
    from harness.faults.pause import Pause
    from harness.faults.pod_evict import PodEvict
    from harness.faults.pod_kill import PodKill
    from harness.faults.pod_request import PodHttp, PodRequest
    from harness.faults.pod_stress import PodStress
    from harness.faults.process_hang import ProcessHang
    from harness.faults.restart import Restart
    from harness.faults.resume import Resume
    from harness.faults.rollback import Rollback
    from harness.faults.rollout import Rollout
    from harness.faults.scale import Scale
    from harness.faults.targets import PodTarget, Selector, WorkloadTarget
    from harness.model.finding import Finding
    from harness.model.operation import NOTHING, Outcome
    from harness.model.quantities import Duration, Share
    from harness.model.requests import Requests, RequestSample
    from harness.model.timeline import (
        Injection,
        Interval,
        LoadSummary,
        Observation,
        Phase,
        ProbeStream,
        Timeline,
        Victim,
    )
    from harness.model.verdict import Verdict
    from harness.objectives.alert import Alert
    from harness.objectives.availability import Availability
    from harness.objectives.base import Due, LiveObjective, Objective
    from harness.objectives.claims import Claims
    from harness.objectives.consistency import Consistency
    from harness.objectives.drained import Drained
    from harness.objectives.durability import Durability
    from harness.objectives.error_rate import ErrorRate
    from harness.objectives.eviction_order import EvictionOrder
    from harness.objectives.identity import Identity
    from harness.objectives.invariant import Invariant
    from harness.objectives.latency import Latency
    from harness.objectives.liveness_restart import LivenessRestart
    from harness.objectives.log_lines import LogLines
    from harness.objectives.member_updates import MemberUpdates
    from harness.objectives.order import Order
    from harness.objectives.pod_resources import PodResources
    from harness.objectives.prometheus import Prometheus as PrometheusObjective
    from harness.objectives.recommendation import Recommendation
    from harness.objectives.recovery_time import RecoveryTime
    from harness.objectives.replicas import Replicas
    from harness.objectives.restarts import Restarts
    from harness.objectives.rolled_back import RolledBack
    from harness.objectives.rollout_ends import RolloutEnds
    from harness.objectives.rollout_halts import RolloutHalts
    from harness.objectives.scale_out import ScaleOut
    from harness.objectives.scaling_steps import ScalingSteps
    from harness.objectives.versions import Versions
    from harness.probes.base import ProbeContext, SnapshotProbe
    from harness.prometheus.client import Prometheus as PrometheusClient
    from harness.results.record import ExperimentRecord, RunRecord
    from harness.safety.guard import check_victims
    from harness.safety.guard.blast import Strike
    from harness.safety.undo.journal import Journal
    from harness.traffic.load.behaviour import OK, Behaviour, Call, Client, Reply
    from harness.traffic.load.registers import Registers
    from harness.traffic.prober.declaration import Probing

__version__ = "0.1.0"

__all__ = [
    "CONFIG_MAPS",
    "DAEMON_SETS",
    "DEPLOYMENTS",
    "EXEC_VERBS",
    "NODES",
    "NOTHING",
    "OK",
    "PODS",
    "SERVICES",
    "STATEFUL_SETS",
    "Alert",
    "ApiError",
    "Apply",
    "Availability",
    "BadRollout",
    "Behaviour",
    "Broken",
    "Call",
    "Capability",
    "CapabilityMissing",
    "Claims",
    "Client",
    "Clock",
    "Cluster",
    "ClusterError",
    "ClusterRefused",
    "ClusterUnreachable",
    "Consistency",
    "ContainerKill",
    "Cordon",
    "Drain",
    "Drained",
    "Due",
    "Durability",
    "Duration",
    "ErrorRate",
    "EvictionOrder",
    "Evidence",
    "ExecResult",
    "ExperimentRecord",
    "FakeClock",
    "FakeCluster",
    "Fault",
    "FaultContext",
    "Finding",
    "HarnessError",
    "Identity",
    "Inconclusive",
    "Injection",
    "InputError",
    "Interval",
    "Invariant",
    "Journal",
    "KubeApi",
    "Latency",
    "LiveObjective",
    "LivenessRestart",
    "LoadSummary",
    "LogLines",
    "MemberUpdates",
    "MetricsOutage",
    "Need",
    "NodeCutOff",
    "NodePause",
    "NodeService",
    "NodeStop",
    "NodeStress",
    "NotYet",
    "Object",
    "Objective",
    "Observation",
    "OomKill",
    "Order",
    "Outcome",
    "Pause",
    "Permission",
    "Phase",
    "PodEvict",
    "PodHttp",
    "PodKill",
    "PodRequest",
    "PodResources",
    "PodStress",
    "PodTarget",
    "ProbeContext",
    "ProbeStream",
    "Probing",
    "Problem",
    "ProcessHang",
    "PrometheusClient",
    "PrometheusObjective",
    "PrometheusUnusable",
    "PythonExperiment",
    "Recommendation",
    "RecoveryTime",
    "Registers",
    "Replicas",
    "Reply",
    "RequestSample",
    "Requests",
    "Resource",
    "Restart",
    "Restarts",
    "Resume",
    "Rollback",
    "RolledBack",
    "Rollout",
    "RolloutEnds",
    "RolloutHalts",
    "RunRecord",
    "Scale",
    "ScaleOut",
    "ScalingSteps",
    "Selector",
    "Share",
    "SnapshotProbe",
    "Strike",
    "TimedOut",
    "Timeline",
    "Undecided",
    "UndoFailed",
    "Verdict",
    "Versions",
    "Victim",
    "WorkloadManifests",
    "WorkloadTarget",
    "__version__",
    "allow",
    "check_victims",
]


if not TYPE_CHECKING:  # or type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name at its first use (PEP 562). Raises AttributeError for any other name."""
        module, attribute = HOMES.get(name, ("", ""))
        if not module:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, getattr(importlib.import_module(module), attribute))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
