"""The state of schedules, from their CronJobs, Jobs and pods: last and next run; what was missed, broke or is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import FIELD_MANAGER, KubeApi, Object
from harness.cluster.kube.resources import JOBS, PODS, Resource
from harness.common.clock import parse_kubernetes_time
from harness.common.naming import SYSTEM_NAMESPACE
from harness.gameday.cron import read_schedule
from harness.safety.guard.windows import check_zone
from harness.schedule.naming import CONTAINER, SCHEDULE_LABEL
from harness.schedule.outcome import Outcome, read_outcome

CRON_JOBS = Resource("batch/v1", "cronjobs", "CronJob")
# Set by `harness schedule resume`: what a suspended schedule did not run was not missed.
RESUMED = "resilience.harness/resumed"
# Seconds. The CronJob controller looks every 10 s.
_CONTROLLER = 30.0
_DEFAULT_START_WITHIN = 300.0


@dataclass(frozen=True, slots=True)
class Ended:
    """One run of a schedule: its Job, when it began in Unix seconds, and its outcome; None while it is active."""

    job: str
    began: float
    active: bool
    succeeded: bool
    reason: str = ""
    outcome: Outcome | None = None

    @property
    def verdict(self) -> str:
        """The verdict, or what is known in place of one."""
        if self.active:
            return "active"
        if self.outcome:
            return self.outcome.state
        return "succeeded" if self.succeeded else "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of one schedule. Times are in Unix seconds."""

    name: str
    schedule: str
    time_zone: str
    suspended: bool
    runs: Sequence[Ended]
    missed: float | None = None
    next: float | None = None
    edited: str = ""

    @property
    def last(self) -> Ended | None:
        """The newest run that has ended."""
        return next((run for run in self.runs if not run.active), None)

    @property
    def last_success(self) -> Ended | None:
        """The newest run that succeeded."""
        return next((run for run in self.runs if run.succeeded), None)

    def troubles(self, show: Mapping[str, str]) -> Iterator[str]:
        """Yield a sentence for everything that somebody must look at. ``show`` has the missed time as text."""
        if self.missed is not None:
            yield f"missed the run of {show['missed']}"
        last = self.last
        if last and not last.succeeded:
            outcome = last.outcome
            if outcome is None:
                yield (
                    f"{last.job} ended without a result ({last.reason or 'its pod was killed'}): "
                    "`harness sweep --dry-run` shows what it left"
                )
            else:
                what = "; ".join(filter(None, [*outcome.worst, outcome.reason]))
                yield f"{last.job}: {outcome.state}{f': {what}' if what else ''}"
        if last and last.outcome and last.outcome.left:
            yield f"{last.job} may have left something behind: {', '.join(last.outcome.left)}"


def statuses(api: KubeApi, now: float, name: str = "") -> list[Status]:
    """Return the state of all schedules, or of the one of this name. Raises ApiError."""
    selector = f"{SCHEDULE_LABEL}={name}" if name else SCHEDULE_LABEL
    jobs = api.list(JOBS, SYSTEM_NAMESPACE, selector).items
    pods = api.list(PODS, SYSTEM_NAMESPACE, selector).items
    return [
        _status(item, jobs, pods, now)
        for item in sorted(
            api.list(CRON_JOBS, SYSTEM_NAMESPACE, selector).items, key=lambda each: str(each["metadata"]["name"])
        )
    ]


def _status(item: Object, jobs: Sequence[Object], pods: Sequence[Object], now: float) -> Status:
    metadata, spec = item["metadata"], item["spec"]
    name = metadata["labels"][SCHEDULE_LABEL]
    own = [job for job in jobs if (job["metadata"].get("labels") or {}).get(SCHEDULE_LABEL) == name]
    runs = sorted((_ended(job, pods) for job in own), key=lambda run: -run.began)
    suspended = bool(spec.get("suspend"))
    zone = spec.get("timeZone") or "Etc/UTC"
    missed, following = (None, None) if suspended else _times(item, spec["schedule"], zone, now)
    return Status(name, spec["schedule"], zone, suspended, runs, missed, following, _edited(metadata))


def _times(item: Object, schedule: str, zone: str, now: float) -> tuple[float | None, float | None]:
    """Return the first run that was due and did not start, and the next one."""
    metadata = item["metadata"]
    known = [
        metadata["creationTimestamp"],
        (item.get("status") or {}).get("lastScheduleTime"),
        (metadata.get("annotations") or {}).get(RESUMED),
    ]
    since = max(parse_kubernetes_time(text) for text in known if text)
    within = float(item["spec"].get("startingDeadlineSeconds") or _DEFAULT_START_WITHIN)
    try:
        parsed = read_schedule(schedule)
        check_zone(zone)
    except ValueError:
        # Edited by hand to something that the harness cannot read: nothing shows that it runs.
        return now, None
    due, following = parsed.next_after(since, zone), parsed.next_after(now, zone)
    late = due is not None and due + within + _CONTROLLER < now
    return (due if late else None), following


def _ended(job: Object, pods: Sequence[Object]) -> Ended:
    metadata, status = job["metadata"], job.get("status") or {}
    began = parse_kubernetes_time(status.get("startTime") or metadata["creationTimestamp"])
    conditions = {each["type"]: each for each in status.get("conditions") or () if each.get("status") == "True"}
    failed = conditions.get("Failed")
    done = failed is not None or "Complete" in conditions
    mine = [pod for pod in pods if (pod["metadata"].get("labels") or {}).get("job-name") == metadata["name"]]
    messages = [message for pod in mine if (message := _message(pod))]
    return Ended(
        job=metadata["name"],
        began=began,
        active=not done,
        succeeded="Complete" in conditions,
        reason=str((failed or {}).get("reason") or ""),
        outcome=next(filter(None, map(read_outcome, messages)), None),
    )


def _message(pod: Object) -> str:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == CONTAINER:
            ended: dict[str, Any] = (status.get("state") or {}).get("terminated") or {}
            return str(ended.get("message") or "")
    return ""


def _edited(metadata: Object) -> str:
    """Return who else than the harness owns fields of the spec, for example kubectl-edit."""
    found = {
        str(entry.get("manager"))
        for entry in metadata.get("managedFields") or ()
        if entry.get("manager") != FIELD_MANAGER
        and entry.get("subresource") != "status"
        # Suspending is what kubectl users do, and applying does not touch it.
        and set((entry.get("fieldsV1") or {}).get("f:spec") or ()) - {"f:suspend"}
    }
    return ", ".join(sorted(found))
