"""Runs to send: one experiment with a recovery, an objective and a fault, and its twin."""

from __future__ import annotations

from typing import Any

from harness.model.verdict import Verdict
from harness.results.record import (
    Bounds,
    ClockRecord,
    EnvironmentRecord,
    ExperimentRecord,
    FaultRecord,
    ObjectiveRecord,
    PhaseRecord,
    RunRecord,
    UndoRecord,
    VictimRecord,
)

BEGAN = 1_764_403_200  # 2025-11-29T08:00:00Z
SECOND = "2025-11-29T08:{:02}:{:02}.000Z"


def moment(seconds: int) -> str:
    return SECOND.format(*divmod(seconds, 60))


def experiment(**changes: Any) -> ExperimentRecord:
    """An experiment that HELD: it began after 10 s, was killed a pod at 40 s, and ended at 70 s of the run."""
    fields: dict[str, Any] = {
        "stage": "closed",
        "id": "experiments/one.yaml::one",
        "name": "one",
        "file": "one.yaml",
        "namespace": "rh-one",
        "started": moment(5),
        "origin": moment(10),
        "finished": moment(70),
        "verdict": Verdict.HELD,
        "reason": "all held",
        "passed": True,
        "phases": [
            PhaseRecord(name="baseline", start=0.0, end=30.0),
            PhaseRecord(name="fault", start=30.0, end=40.0),
            PhaseRecord(name="recovery", start=40.0, end=50.0),
        ],
        "faults": [
            FaultRecord(
                kind="podKill",
                parameters={"selector": "app=shop"},
                victims=[VictimRecord(kind="Pod", name="shop-1", uid="u1")],
                injected=Bounds(low=30.0, high=30.25),
                proven=True,
                evidence="the pod is gone",
            )
        ],
        "objectives": [
            ObjectiveRecord(
                kind="recoveryTime",
                title="recovery of deployment/shop",
                verdict=Verdict.HELD,
                reason="in time",
                observed=4.0,
                limit=20.0,
                unit="s",
                comparison="<=",
                margin=16.0,
            )
        ],
        "recovery": [
            ClockRecord(clock="user", subject="deployment/shop", state="recovered", low=3.5, high=4.0),
            ClockRecord(clock="control plane", subject="deployment/shop", state="not recovered", low=9.0),
            ClockRecord(clock="endpoints", subject="shop", state="not disrupted", low=0.0, high=0.5),
            ClockRecord(clock="prometheus", subject="deployment/shop", state="no data"),
        ],
    }
    return ExperimentRecord(**{**fields, **changes})


def twin(**changes: Any) -> ExperimentRecord:
    """Its twin, BROKEN as it must be."""
    return experiment(
        **{"twin": "single", "id": "experiments/one.yaml::one[single]", "verdict": Verdict.BROKEN, **changes}
    )


def leftover() -> FaultRecord:
    """A fault that could not be undone."""
    undo = UndoRecord(kind="nodePause", description="resume node-1", state="failed", error="no route")
    return FaultRecord(kind="nodePause", parameters={}, injected=Bounds(low=30.0, high=31.0), undo=[undo])


def run(*records: ExperimentRecord, ended: int = 80, context: str = "kind-test", **changes: Any) -> RunRecord:
    """A run that began at 08:00:00."""
    place = EnvironmentRecord(context=context, server="https://198.18.0.1", provider="kind", kubernetes="v1.34.0")
    fields = {
        "run": "20251129-080000-abcd",
        "started": moment(0),
        "finished": moment(ended),
        "seed": 7,
        "harness": "0.1.0",
        "environment": place,
        "experiments": list(records or [experiment()]),
    }
    return RunRecord(**{**fields, **changes})
