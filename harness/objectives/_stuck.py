"""The advice for a StatefulSet that stays stuck after a rollback."""

from __future__ import annotations

from harness.model.reported import Status
from harness.model.timeline import Timeline
from harness.objectives._members import REVISION_LABEL


def advice(timeline: Timeline, seen: Status, until: float) -> str:
    """Return what helps a StatefulSet with broken pods of another revision just before ``until``; "" if it has none."""
    if not seen.subject.startswith("statefulset/") or seen.behind:
        return ""
    latest = {one.subject: one.value for one in timeline.observations("pods") if not one.error and one.at < until}
    broken = sorted(
        name
        for name, pod in latest.items()
        if pod["owner"] == seen.subject
        and pod["event"] != "DELETED"
        and not (pod["ready"] or pod["deleting"])
        and (pod.get("labels") or {}).get(REVISION_LABEL) != seen.value.get("revision")
    )
    if not broken:
        return ""
    return (
        f"pod {', '.join(broken)} of the version before is not ready, and a StatefulSet with podManagementPolicy "
        'OrderedReady replaces no pod until it is (a known issue of Kubernetes, see "Forced rollback" in its '
        f"documentation): run `kubectl delete pod {' '.join(broken)}`, or use podManagementPolicy: Parallel"
    )
