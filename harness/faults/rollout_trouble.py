"""What shows that a new revision of a Deployment does not become available: failing pods, or a stalled rollout."""

from __future__ import annotations

from collections.abc import Iterator

from harness.cluster.kube.client import Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.containers import why_ended, why_waiting
from harness.common.clock import parse_kubernetes_time

# A container that runs longer than this without being ready, beyond the time its own probes allow, is in trouble.
UNREADY_SECONDS = 5.0


def troubles(pod: Object, now: float) -> Iterator[str]:
    """Yield what keeps a pod from being ready, except that it is still starting. ``now`` is in Unix seconds."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    if holds(pod, "Ready"):
        return
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        yield f"{name} is not scheduled: {scheduled.get('message', scheduled.get('reason'))}"
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        waits, ended = why_waiting(container), why_ended(container)
        if waits:
            yield f"{name}/{container['name']} waits: {waits}"
        elif ended:
            yield f"{name}/{container['name']} ended with {ended}"
        started = (container.get("state") or {}).get("running", {}).get("startedAt")
        running_for = now - parse_kubernetes_time(started) if started else 0.0
        if not container.get("ready") and running_for >= UNREADY_SECONDS + _allowed(pod, container):
            yield f"{name}/{container['name']} has run for {running_for:.0f} s and is not ready"


def _allowed(pod: Object, container: Object) -> float:
    """Return the seconds from its start that a container's own probes allow: until it has started, while its startup
    probe has not succeeded, and otherwise until it is ready. One period is included, since a container that becomes
    ready just after a probe is probed again only one period later. ``container`` is its status."""
    spec = pod.get("spec", {})
    specs = [*spec.get("initContainers", ()), *spec.get("containers", ())]
    own: Object = next((one for one in specs if one["name"] == container["name"]), {})
    startup, readiness = own.get("startupProbe"), own.get("readinessProbe")
    if startup and not container.get("started"):
        return _seconds(startup, startup.get("failureThreshold", 3))
    return _seconds(readiness, readiness.get("successThreshold", 1)) if readiness else 0.0


def _seconds(probe: Object, times: int) -> float:
    """Return the seconds that a probe needs for this many attempts, with the API's defaults."""
    return float(probe.get("initialDelaySeconds", 0) + probe.get("periodSeconds", 10) * times)


def stalled(deployment: Object, replica_set: str) -> list[str]:
    """Return the controller's messages that the rollout to this ReplicaSet has stalled."""
    return [
        f"its rollout has stalled: {condition.get('message')}"
        for condition in deployment.get("status", {}).get("conditions", ())
        if condition["type"] == "Progressing"
        and condition.get("reason") == "ProgressDeadlineExceeded"
        # The condition may remain from an earlier rollout; its message names that rollout's ReplicaSet.
        and f'"{replica_set}"' in condition.get("message", "")
    ]
