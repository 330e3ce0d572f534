"""A mutant: an experiment on a workload that one operator has weakened."""

from __future__ import annotations

from dataclasses import replace

from harness.cluster.kube.objects import reference
from harness.cluster.kube.patches.strategic import PatchError
from harness.experiment.declaration import Experiment
from harness.experiment.manifests import Workload
from harness.experiment.mutation.operator import Operator


class LeftOut(Exception):
    """A mutant that is not run. The message is the reason."""


def as_mutant(experiment: Experiment, operator: Operator) -> Experiment:
    """Return the mutant of an experiment, whose workload is not weakened yet: that of a live one is unknown."""
    safety = experiment.safety.model_copy(update=dict(operator.safety))
    return replace(experiment, mutant=operator.name, because=operator.lost, safety=safety)


def weakened(workload: Workload, operator: Operator) -> Workload:
    """Return the workload without what the operator takes away, patched as for a twin. Raises LeftOut."""
    try:
        made = workload.patched(operator.patches(workload.objects))
    except PatchError as error:
        raise LeftOut(f"the patch cannot be applied: {error.message}") from error
    if made.objects == workload.objects:
        raise LeftOut(operator.unchanged)
    return made


def changed_objects(before: Workload, after: Workload) -> tuple[str, ...]:
    """Return ``kind/name`` of each object that a mutant lacks or has otherwise, sorted."""
    kept = {reference(item): item for item in after.objects}
    return tuple(sorted(name for item in before.objects if kept.get(name := reference(item)) != item))


def refusal(experiment: Experiment) -> str:
    """Return why no mutant of this experiment may run, or ""."""
    if not experiment.existing:
        return ""
    return (
        f"runs in the existing namespace {experiment.existing}, whose objects are never changed; "
        "workload: {copyOf: …} tests a copy of the same objects"
    )


def twin_like(experiment: Experiment, mutated: Workload) -> str:
    """Return the declared twin with the same workload as a mutant, or ""."""
    twins = (experiment.twins or {}).items()
    same = (name for name, twin in twins if experiment.workload.patched(twin.patch).objects == mutated.objects)
    return next(same, "")
