"""The background load of a game day at work: started before the first experiment, stopped after the day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.cluster.kube import services
from harness.cluster.kube.permissions import Permission, allow, within
from harness.cluster.kube.resources import NAMESPACES
from harness.common.clock import iso
from harness.common.errors import HarnessError
from harness.common.timeouts import LOAD_READY
from harness.engine.recording import load_record
from harness.engine.steps import credentials, reach
from harness.engine.steps.load import TargetLoad
from harness.engine.steps.run import Run
from harness.experiment.load import Load
from harness.gameday.background import MOST, Background
from harness.gameday.day import Day, Turn
from harness.gameday.earlier import carried
from harness.gameday.rule import GO, Action, Answer, DayRule
from harness.model.phase_names import BASELINE
from harness.model.timeline import Phase, Timeline
from harness.model.verdict import Verdict, worst
from harness.results.game_day_load import BackgroundRecord
from harness.results.game_day_record import GameDayRecord
from harness.safety.guard.existing import existing_refusals

# Seconds after which the load ends if nothing else ends it. It also ends with the process of the run.
_LONGEST = 86_400.0


def needed_for(background: Background) -> frozenset[Permission]:
    """Return the permissions of the load: its target in that namespace, and the namespace's opt-in."""
    if not background.namespace:
        # A URL is outside of the cluster.
        return frozenset()
    targets = (background.target,)
    found = services.PERMISSIONS | reach.needed_for(targets) | credentials.needed_for(targets)
    needed = allow(NAMESPACES, "get", place="cluster") | within(found, background.namespace)
    elsewhere, _, _ = background.target.through
    return needed | (within(services.PERMISSIONS, elsewhere) if elsewhere else frozenset())


@dataclass
class _Running:
    load: TargetLoad
    timeline: Timeline
    declared: Load
    failure: str = ""


class BackgroundLoad(DayRule):
    """Starts the load before the first experiment. A day whose load cannot be started does not begin; if the load fails
    later, the day goes on and is not HELD."""

    name: ClassVar[str] = "load"

    def __init__(self, background: Background) -> None:
        self._background = background
        self._running: _Running | None = None

    def before_experiment(self, day: Day, turn: Turn) -> Answer:
        del turn
        if self._running is None:
            try:
                refused = self._start(day)
            except HarnessError as error:
                refused = str(error)
            if refused:
                return Answer(Action.ABORT, f"the background load cannot be started: {refused}")
        self._look(day)
        return GO

    def after_day(self, day: Day, record: GameDayRecord) -> None:
        running = self._running
        if earlier := carried(day, record.runs):
            record.background += earlier.background
        if running is None:
            return
        self._look(day)
        summary = running.load.stop()
        end = running.timeline.offset(day.clock.monotonic())
        timeline = Timeline(running.timeline.origin, running.timeline.wall_origin, phases=[Phase(BASELINE, 0.0, end)])
        timeline.load, timeline.requests = summary, running.load.requests(timeline.origin)
        failure = running.failure or summary.error
        record.background.append(
            BackgroundRecord(
                run=day.folder.name,
                namespace=self._background.namespace or "",
                started=iso(timeline.wall_origin),
                finished=iso(day.clock.wall()),
                load=load_record(running.declared, timeline),
                failure=failure,
            )
        )
        if failure:
            record.verdict = worst([record.verdict, Verdict.INCONCLUSIVE])
            record.reason = "; ".join(filter(None, (record.reason, f"background load: {failure}")))

    def _start(self, day: Day) -> str:
        """Start the load and wait until it reaches its target; return the guard's reasons against it."""
        run = day.connect()
        if refused := self._refused(run):
            return refused
        declared = self._background.load.scaled(run.load_scale)
        if declared.rate and declared.rate > MOST:
            return f"found {declared.rate:g}/s with --load-scale={run.load_scale:g}, expected at most {MOST:g}/s"
        load = TargetLoad(
            run,
            f"game day {day.game_day.name}",
            self._background.namespace or "",
            declared,
            folder=day.folder / "background",
            seconds=_LONGEST,
            beside=day.game_day.file.parent,
        )
        timeline = Timeline(day.clock.monotonic(), day.clock.wall())
        self._running = _Running(load, timeline, declared)
        try:
            # Prometheus finds the load through a Service, which must not be created in an existing namespace.
            load.wait_ready(LOAD_READY, scraped=False)
        except BaseException:
            self._running = None
            load.stop()
            raise
        load.phase(BASELINE, day.clock.monotonic())
        return ""

    def _refused(self, run: Run) -> str:
        name = self._background.namespace
        if not name:
            # The host of a URL is checked where it is resolved.
            return ""
        policy = run.policy.in_existing()
        return "; ".join(existing_refusals(name, run.cluster.api.find(NAMESPACES, name), policy))

    def _look(self, day: Day) -> None:
        """Keep the first failure of the running load."""
        running = self._running
        if running and not running.failure and (failure := running.load.failure()):
            running.failure = failure
            day.progress(f"background load failed: {failure}")
