"""The engine for experiments written as Python tests: the same steps as of an experiment file, in the test's own order.

::

    def test_one_pod_killed(experiment):
        '''Losing one of three replicas costs next to nothing.'''
        experiment.workload("workloads/podinfo")
        experiment.load("steady", rate=50, target="service/podinfo:http")
        experiment.baseline(seconds=8)
        with experiment.inject(PodKill(selector="app=podinfo"), seconds=10):
            ...                                    # the fault is there; it is undone at the end of the block
        experiment.assert_objectives(Availability(min=0.99), RecoveryTime(of="deployment/podinfo", max=20))
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.admission import admit
from harness.body_watch import BodyWatch
from harness.errors import Inconclusive, InputError, Problem
from harness.experiment import Control, Experiment, Load, Phases
from harness.fault import Fault
from harness.guard.safety import Safety
from harness.judging import judge, judge_baseline
from harness.manifests import Workload, load_workload
from harness.objective import LiveObjective, Objective
from harness.observation import BASELINE, FAULT, SETTLE, Injection, Timeline
from harness.outcome import check
from harness.prober.declaration import Probing
from harness.probes.prometheus_query import PrometheusQueries
from harness.record import ExperimentRecord
from harness.record_keeping import RecordKeeper
from harness.run import Run
from harness.sources import Sources
from harness.verdict import Verdict

LONGEST_TEST = 1800.0


class PythonExperiment:
    """An experiment that a test drives. The ``experiment`` fixture makes one and ends it."""

    def __init__(
        self, run: Run, name: str, hypothesis: str, file: Path, node_id: str, *, disruptive: bool = False
    ) -> None:
        self._run = run
        self._experiment = Experiment(
            name=name,
            hypothesis=hypothesis,
            workload=Workload(file.parent, (), ()),
            objectives=(),
            file=file,
            phases=phases_within(run.policy.max_duration),
            disruptive=disruptive,
        )
        self.keeper = RecordKeeper(run, self._experiment, node_id)
        self.live = self.keeper.live
        self._stack = ExitStack()
        # Why a step could not be taken to its end.
        self._ended = ""

    def __enter__(self) -> Self:
        self._stack.enter_context(self.keeper.to_the_end())
        self._stack.enter_context(self.live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if not self.keeper.record.has_verdict:
                self.keeper.give_up(self._ended or "the test ended before it judged anything")

    @property
    def namespace(self) -> str:
        """The experiment's own namespace; there from ``workload`` on."""
        return self.live.namespace

    @property
    def timeline(self) -> Timeline:
        """What has been seen so far."""
        return self.live.timeline

    def workload(self, name: str, *, control: bool = False) -> None:
        """Deploy a workload: a folder of manifests, as an experiment file names it; with ``control`` a second time, for
        a control arm. Raises InputError, Inconclusive."""
        sources: Sources = self._run.sources
        folder = sources.workload_folder(name, self._experiment.file.parent)
        if folder is None:
            raise InputError([Problem(f"found the workload {name!r}, expected a folder in {sources.experiments}")])
        workload = load_workload(folder)
        self._change(workload=workload, control=Control() if control else None)
        admit(self._run, self._experiment)
        self.live.deploy(workload.rendered(self._run.cluster.image))

    def safety(self, **fields: Any) -> None:  # noqa: ANN401
        """Say openly what the guard would refuse otherwise: see ``Safety`` for the fields, such as
        ``last_replica="allowed"``. Raises ValidationError."""
        self._change(safety=Safety.model_validate(fields))

    def load(self, profile: str, *, rate: float | str, target: str, behaviour: str = "http", **options: Any) -> None:  # noqa: ANN401
        """Start the load: see ``Load`` for the fields. Raises ValidationError, InputError, Inconclusive."""
        fields = {"profile": profile, "rate": rate, "target": target, "behaviour": behaviour, "options": options}
        load = Load.model_validate(fields)
        self._change(load=load)
        self.live.start_load(load)

    def prober(self, *probings: Probing) -> None:
        """Probe the users' way in from now on, once for each stream: ``Probing(http={"target": …}, rate=20)``.

        Raises Inconclusive when a stream gets no good answer.
        """
        self._change(prober=probings)
        self.live.start_prober(probings)

    def baseline(self, seconds: float) -> None:
        """The time before the fault."""
        with self._step(), self.live.phase(BASELINE, f"{seconds:g} s"):
            self.live.wait(seconds)

    @contextmanager
    def inject(self, *faults: Fault, seconds: float = 0.0) -> Iterator[list[Injection]]:
        """Break it, give it ``seconds``, run the body, and undo it. Yields the injections with their evidence."""
        chosen = [self.live.choose(fault) for fault in faults]
        self.live.admit(chosen)
        self._change(faults=(*self._experiment.faults, *faults))
        with self._step(), self.live.phase(FAULT):
            for fault, victims in chosen:
                self.live.inject(fault, victims)
            self.live.wait(seconds, self.live.prove)
            try:
                with BodyWatch(self._must_end):
                    yield self.timeline.injections
            finally:
                self.live.prove(last=True)
        self.live.undo()

    def assert_objectives(
        self, *objectives: Objective, recovery: float = 60.0, settle: float = 5.0
    ) -> ExperimentRecord:
        """Wait for the recovery, at most so many seconds, let it settle, and judge.

        Raises Broken when an objective was missed, Undecided when nothing can be concluded, and InputError when one
        asks to end a fault that is over.
        """
        for objective in objectives:
            if isinstance(objective, LiveObjective) and objective.abort_on_breach:
                message = f"found abortOnBreach in {objective.title}, expected it in an experiment file alone"
                raise InputError([Problem(f"{message}: a test ends its faults itself")])
        self._change(objectives=objectives)
        with self._step():
            self.live.recover(objectives, recovery)
        with self._step(), self.live.phase(SETTLE, f"{settle:g} s"):
            self.live.wait(settle)
        self.live.stop()
        if self._run.prometheus:
            self.live.look([PrometheusQueries(self._run.prometheus, objectives)])
        self.keeper.observed()
        record = self._conclude()
        check(record)
        return record

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Remember what ended a step: the test may end of it too, and then that is the reason."""
        try:
            yield
        except Inconclusive as error:
            self._ended = str(error)
            raise

    def _must_end(self) -> str | None:
        """Why the body of a test must not go on, if it must not."""
        longest = sum(self._experiment.phases.model_dump().values())
        if self.live.now > longest:
            return f"the test has taken longer than the {longest:g} s that it may"
        return self._run.halted()

    def _conclude(self) -> ExperimentRecord:
        if self.timeline.injections and not self.timeline.phase(BASELINE):
            return self.keeper.give_up("no steady state was shown: experiment.baseline(seconds) comes before the fault")
        if self.timeline.phase(BASELINE):
            findings = judge_baseline(self._experiment, self.timeline)
            self.keeper.steady_state(findings)
            for objective, finding in findings:
                if finding.verdict is not Verdict.HELD:
                    return self.keeper.give_up(f"the steady state did not hold: {objective.title}: {finding.reason}")
        return self.keeper.conclude(judge(self._experiment, self.timeline, self.live.control))

    def _change(self, **changes: Any) -> None:  # noqa: ANN401
        self._experiment = replace(self._experiment, **changes)
        self.live.experiment = self._experiment


def phases_within(longest: float | None) -> Phases:
    """How long a test takes is its own affair, up to what the guard allows: at most so long a fault may be there, and
    so long the load outlives the test by itself."""
    spent = sum(Phases(recovery=0.0).model_dump().values())
    most = LONGEST_TEST if longest is None else min(LONGEST_TEST, longest)
    return Phases(recovery=max(0.0, most - spent))
