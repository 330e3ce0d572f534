"""Check without a cluster that the conditions of faults on rollouts can be met by the workload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.common.documents import Place
from harness.experiment.manifests import Workload
from harness.experiment.timing import Timing
from harness.faults.apply import Apply
from harness.faults.base import Fault
from harness.model.quantities import show_seconds

PROGRESS_DEADLINE = 600  # Kubernetes' default of progressDeadlineSeconds


def progress_deadline(deployment: Mapping[str, Any]) -> tuple[float, str]:
    """Return the progress deadline of a Deployment in seconds, and where it comes from if that is the default."""
    given = (deployment.get("spec") or {}).get("progressDeadlineSeconds")
    return given or PROGRESS_DEADLINE, "" if given else " (the default): set a shorter deadline in the workload"


def impossible_rollouts(
    timings: Sequence[Timing], faults: Sequence[Fault], workload: Workload, phase: float
) -> Iterator[tuple[Place, str]]:
    """Yield the conditions on workloads that do not exist, and on deadlines that pass too late.

    ``phase`` is the longest length of the fault phase in seconds."""
    changed = {fault.of for fault in faults if isinstance(fault, Apply)}
    for number, timing in enumerate(timings):
        condition = timing.when
        if condition is None or condition.rollout is None:
            continue
        place: Place = ("faults", number, "when")
        found = workload.find(condition.rollout)
        if found is None:
            known = ", ".join(workload.names())
            yield (*place, "rollout"), f"found {condition.rollout}, but the workload has only {known}"
        elif condition.is_ == "deadlineExceeded" and condition.rollout not in changed:
            (deadline, default), longest = progress_deadline(found), condition.within or phase
            if longest <= deadline:
                limit = f"progressDeadlineSeconds of {condition.rollout} is {deadline:g} s{default}"
                message = (
                    f"found {show_seconds(longest)} for deadlineExceeded, expected more than {deadline:g} s: {limit}"
                )
                yield (*place, "within") if condition.within else ("phases", "fault"), message
