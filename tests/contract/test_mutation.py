"""Mutation operators fit the workloads that ship, and each is documented."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.kube.objects import reference
from harness.experiment.files import is_experiment
from harness.experiment.loading import load_experiment
from harness.experiment.manifests import Workload
from harness.experiment.mutation.catalogue import OPERATORS
from harness.experiment.mutation.mutant import LeftOut, weakened
from harness.experiment.mutation.operator import Operator
from harness.experiment.sources import Sources
from harness.experiment.workload_checks import findings

ROOT = Path(__file__).resolve().parents[2]
FILES = [file for file in sorted((ROOT / "experiments").rglob("*.yaml")) if is_experiment(file)]


def _problems(workload: Workload) -> set[tuple[str, str]]:
    return {(reference(found.item), found.message) for found in findings(workload)}


def test_weakened_workloads_of_the_catalogue_are_valid() -> None:
    ran = set()
    for file in FILES:
        workload = load_experiment(file, Sources.for_root(ROOT)).workload
        for operator in OPERATORS:
            try:
                weak = weakened(workload, operator)
            except LeftOut:
                continue
            ran.add(operator.name)
            assert not list(weak.malformed()), (file, operator.name)
            assert not _problems(weak) - _problems(workload), (file, operator.name)
    # Of the others no workload of the catalogue has the thing.
    missing = {each.name for each in OPERATORS} - ran
    assert missing <= {"no-startup-probe", "no-pre-stop-hook", "no-disruption-budget", "no-priority-class"}


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda each: each.name)
def test_operator_is_documented(operator: Operator) -> None:
    assert f"`{operator.name}`" in (ROOT / "docs" / "mutation.md").read_text()
