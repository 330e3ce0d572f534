"""A Python test: for experiments that need logic between their steps. Run it with ``pytest --cluster``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from shop_kinds.quarantine import LABELS, PodQuarantine

from harness import PODS, Cluster, Injection, Invariant, PythonExperiment


def test_pod_in_quarantine(
    experiment: PythonExperiment,
    chaos: Callable[..., AbstractContextManager[list[Injection]]],
    cluster: Cluster,
) -> None:
    """A pod in quarantine stays there for inspection while the Deployment replaces it."""
    experiment.workload("builtin/podinfo")
    experiment.baseline(seconds=2)
    with chaos(PodQuarantine(selector="app=podinfo"), seconds=2) as injections:
        (victim,) = injections[0].victims
        inspected = cluster.api.get(PODS, victim.name, experiment.namespace)
        assert inspected["metadata"]["labels"] == LABELS
    experiment.assert_objectives(Invariant(of="deployment/podinfo", available=">= 2"), recovery=30, settle=2)
