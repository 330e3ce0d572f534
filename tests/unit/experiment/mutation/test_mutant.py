"""A mutant of an experiment, and its likeness to a declared twin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.experiment.declaration import Experiment
from harness.experiment.loading import load_experiment
from harness.experiment.mutation.catalogue import OPERATORS, operators
from harness.experiment.mutation.mutant import as_mutant, refusal, twin_like, weakened
from harness.experiment.sources import Sources
from tests.fake_run import EXPERIMENT, write_project

ONE_REPLICA, GRACE = operators("replicas-1,grace-period-0")


def _load(root: Path, text: str = EXPERIMENT) -> Experiment:
    return load_experiment(write_project(root, text), Sources.for_root(root))


def test_mutant_has_a_title_and_what_is_lost(tmp_path: Path) -> None:
    mutant = as_mutant(_load(tmp_path), ONE_REPLICA)
    assert mutant.title == "one-killed[mutant replicas-1]"
    assert (mutant.twin, mutant.breaks) == ("", ())
    assert mutant.because == "each workload has one replica"
    assert mutant.safety.last_replica == "allowed"
    assert as_mutant(_load(tmp_path), GRACE).safety.last_replica == "spared"


def test_mutant_keeps_the_workload_until_it_is_weakened(tmp_path: Path) -> None:
    experiment = _load(tmp_path)
    assert as_mutant(experiment, ONE_REPLICA).workload == experiment.workload
    shop = weakened(experiment.workload, ONE_REPLICA).find("deployment/shop")
    assert shop is not None
    assert shop["spec"]["replicas"] == 1


def test_twin_with_the_same_workload_is_found(tmp_path: Path) -> None:
    experiment = _load(tmp_path)
    assert twin_like(experiment, weakened(experiment.workload, ONE_REPLICA)) == "one-replica"
    assert twin_like(experiment, weakened(experiment.workload, GRACE)) == ""
    assert twin_like(replace(experiment, twins=None), weakened(experiment.workload, ONE_REPLICA)) == ""


def test_existing_namespace_refuses_mutants(tmp_path: Path) -> None:
    experiment = _load(tmp_path)
    assert refusal(experiment) == ""
    text = EXPERIMENT.partition("twins:")[0].replace("workload: workloads/shop", "workload: {existing: {namespace: a}}")
    found = refusal(_load(tmp_path, text))
    assert found.startswith("runs in the existing namespace a, whose objects are never changed; workload: {copyOf")


def test_operators_have_short_names() -> None:
    # The name is part of a namespace's name.
    assert all(len(each.name) <= 20 for each in OPERATORS)
