"""Make the notification of each event from the records of a run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.common.clock import Clock, iso
from harness.engine.notification_options import ABORTED, FINISHED, LEFT_BEHIND, STARTED
from harness.model.quantities import counted
from harness.model.verdict import Verdict
from harness.notifications.event import ClusterFacts, GameDayFacts, Missed, Notification, Urgency
from harness.results.record import EnvironmentRecord, ExperimentRecord, RunRecord
from harness.results.reporting import overview
from harness.results.reporting.plain import one_line

LONGEST_LINE = 400
# A chat shows a few lines; the report has the rest.
MOST_LINES = 10
# Where the jobs of CI systems have their own URL: GitLab, Jenkins and Tekton's dashboard by convention.
JOB_URLS = ("CI_JOB_URL", "BUILD_URL")


@dataclass(frozen=True)
class Events:
    """Makes the notifications of one run. ``link`` is the URL of its report or job, empty if unknown."""

    run_id: str
    clock: Clock
    link: str = ""

    def started(self, run: RunRecord, day: GameDayFacts | None = None) -> Notification:
        """Return the notification that the run is connected and starts its experiments, those of ``day`` if given."""
        place = run.environment
        where = f" on {place.context}" if place else ""
        title = f"Resilience run {self.run_id} started{where}{f': game day {day.name}' if day else ''}"
        lines = [f"The plan is sealed: SHA-256 {day.sealed}"] if day and day.sealed else []
        return self._made(STARTED, "info", title, lines, run, day=day)

    def finished(self, run: RunRecord, report: Path) -> Notification:
        """Return the notification of the verdict."""
        verdict, headline = overview.run_verdict(run), overview.headline(run)
        if day := run.game_day:
            verdict, headline = day.verdict, f"game day {day.name}: {day.reason}"
        urgency: Urgency = "info" if verdict is Verdict.HELD else "warning"
        title = f"{verdict}: {headline}"
        return self._made(FINISHED, urgency, title, _lines(run), run, report=report)

    def aborted(self, reason: str, run: RunRecord | None, report: Path | None) -> Notification:
        """Return the notification that the run ended before its end."""
        title = f"Resilience run {self.run_id} aborted: {one_line(reason, LONGEST_LINE)}"
        lines = _lines(run) if run else []
        return self._made(ABORTED, "warning", title, lines, run, reason=reason, report=report)

    def left_behind(self, lines: Sequence[str], run: RunRecord) -> Notification:
        """Return the notification that effects or objects are still in the cluster."""
        what = counted(len(lines), "effect or object", "effects or objects")
        title = f"LEFT BEHIND by resilience run {self.run_id}: {what} still in the cluster, needs manual action"
        return self._made(LEFT_BEHIND, "critical", title, list(lines), run, left=lines)

    def _made(
        self,
        event: str,
        urgency: Urgency,
        title: str,
        lines: Sequence[str],
        run: RunRecord | None,
        *,
        reason: str = "",
        report: Path | None = None,
        left: Sequence[str] = (),
        day: GameDayFacts | None = None,
    ) -> Notification:
        shown = [one_line(line, LONGEST_LINE) for line in lines[:MOST_LINES]]
        shown += [f"… and {len(lines) - MOST_LINES} more"] * (len(lines) > MOST_LINES)
        place = run.environment if run else None
        shown += [f"Cluster: {place.context}, Kubernetes {place.kubernetes}"] if place else []
        shown += [f"Report: {self.link or report}"] if self.link or report else []
        experiments = run.experiments if run else []
        return Notification.model_validate(
            {
                "id": str(uuid.uuid4()),
                "at": iso(self.clock.wall()),
                "run": self.run_id,
                "event": event,
                "urgency": urgency,
                "title": title,
                "text": "\n".join(shown),
                "cluster": _cluster(place),
                "game_day": day or _day(run),
                "verdict": overview.run_verdict(run) if run and experiments else None,
                "reason": reason,
                "missed": list(missed(experiments)),
                "left_behind": list(left),
                "passed": sum(record.passed for record in experiments),
                "failed": sum(not record.passed for record in experiments),
                "skipped": len(run.skipped) if run else 0,
                "report": str(report or ""),
                "link": self.link,
            }
        )


def missed(experiments: Sequence[ExperimentRecord]) -> Iterator[Missed]:
    """Yield the objectives that are not HELD of experiments that did not pass; without any, the experiment itself."""
    for record in experiments:
        if record.passed:
            continue
        named = {"experiment": record.name, "twin": record.twin}
        found = [each for each in record.objectives if each.verdict is not Verdict.HELD] if not record.twin else []
        for each in found:
            yield Missed(**named, objective=each.title, verdict=each.verdict, reason=each.reason)
        if not found:
            yield Missed(**named, objective="", verdict=record.standing, reason=overview.reason(record))


def link_of(report_url: str, run_id: str, environ: Mapping[str, str]) -> str:
    """Return the URL of a run's report, or of the CI job that has it; empty if neither is known."""
    if report_url:
        return f"{report_url}/{run_id}/index.html"
    if all(environ.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")):
        place = f"{environ['GITHUB_SERVER_URL']}/{environ['GITHUB_REPOSITORY']}"
        return f"{place}/actions/runs/{environ['GITHUB_RUN_ID']}"
    return next(filter(None, (environ.get(name, "") for name in JOB_URLS)), "")


def _lines(run: RunRecord) -> list[str]:
    return [
        f"{each.verdict}: {', twin '.join(filter(None, (each.experiment, each.twin)))}: "
        + ": ".join(filter(None, (each.objective, each.reason)))
        for each in missed(run.experiments)
    ]


def _day(run: RunRecord | None) -> GameDayFacts | None:
    if run is None or run.game_day is None:
        return None
    day = run.game_day
    sealed = day.sealed.hash if day.sealed else ""
    return GameDayFacts(name=day.name, sealed=sealed, verdict=day.verdict, reason=day.reason)


def _cluster(place: EnvironmentRecord | None) -> ClusterFacts | None:
    if place is None:
        return None
    return ClusterFacts(
        context=place.context, server=place.server, provider=place.provider, kubernetes=place.kubernetes
    )
