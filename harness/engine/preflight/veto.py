"""Let the veto webhook deny a run, an experiment or an injection."""

from __future__ import annotations

from collections.abc import Sequence

from harness.common.errors import Inconclusive, Vetoed
from harness.engine.steps.live import LiveExperiment
from harness.engine.steps.run import Run
from harness.engine.steps.veto import Moment, Question, fault_question
from harness.experiment.declaration import Experiment
from harness.faults.base import Fault
from harness.model.timeline import Victim


def check_run(run: Run) -> None:
    """Raise Vetoed if the run may not start."""
    _check(run, _question_of_run(run, "run"))


def check_experiment(run: Run, experiment: Experiment) -> None:
    """Raise Vetoed if an experiment may not run, before anything is deployed."""
    faults = [(fault, ()) for fault in experiment.faults]
    _check(run, _question(run, "experiment", experiment, run.namespace_of(experiment), faults))


def check_injection(run: Run, live: LiveExperiment, chosen: Sequence[tuple[Fault, tuple[Victim, ...]]]) -> None:
    """Raise Vetoed if these faults may not be injected into their victims; Inconclusive if earlier ones were."""
    try:
        _check(run, _question(run, "injection", live.experiment, live.namespace, chosen))
    except Vetoed as error:
        if live.timeline.injections:
            # Not an experiment that may be skipped: it had effects.
            raise Inconclusive(str(error)) from error
        raise


def _question(
    run: Run,
    moment: Moment,
    experiment: Experiment,
    namespace: str,
    faults: Sequence[tuple[Fault, tuple[Victim, ...]]],
) -> Question:
    return _question_of_run(run, moment).model_copy(
        update={
            "experiment": experiment.name,
            "twin": experiment.twin,
            "mutant": experiment.mutant,
            "file": str(experiment.file),
            "namespace": namespace,
            "existing": bool(experiment.existing),
            "disruptive": experiment.disruptive,
            "faults": [fault_question(fault, victims) for fault, victims in faults],
        }
    )


def _question_of_run(run: Run, moment: Moment) -> Question:
    cluster = run.cluster
    return Question(
        moment=moment, context=cluster.context, server=cluster.api.server, ownership=cluster.ownership.value
    )


def _check(run: Run, question: Question) -> None:
    if reason := run.veto(question):
        raise Vetoed(reason)
