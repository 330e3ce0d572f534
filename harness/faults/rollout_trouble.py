"""What shows that a new revision of a Deployment does not come about: pods in trouble, or a stalled rollout."""

from __future__ import annotations

from collections.abc import Iterator

from harness.clock import parse_kubernetes_time
from harness.cluster.api import Object
from harness.cluster.conditions import holds

# What a container waits for on its way to running: no sign of trouble yet.
_STARTING = {None, "ContainerCreating", "PodInitializing"}
# Running this long without becoming ready, once its probes ask, is a sign of trouble; a good version starts faster.
UNREADY_SECONDS = 5.0


def troubles(pod: Object, now: float) -> Iterator[str]:
    """What keeps a pod from being ready, other than that it is just starting. ``now`` is Unix seconds."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    if holds(pod, "Ready"):
        return
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        yield f"{name} is not scheduled: {scheduled.get('message', scheduled.get('reason'))}"
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        current = container.get("state", {})
        waiting = current.get("waiting", {})
        if waiting and waiting.get("reason") not in _STARTING:
            yield f"{name}/{container['name']} waits: {waiting['reason']} {waiting.get('message', '')}".strip()
        ended = current.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
        if ended and ended.get("exitCode"):
            yield f"{name}/{container['name']} ended with exit code {ended['exitCode']}"
        started = current.get("running", {}).get("startedAt")
        running_for = now - parse_kubernetes_time(started) if started else 0.0
        if not container.get("ready") and running_for >= UNREADY_SECONDS + _given(pod, container):
            yield f"{name}/{container['name']} has run for {running_for:.0f} s and is not ready"


def _given(pod: Object, container: Object) -> float:
    """The seconds from its start that a container's own probes give it: to be started, while it has a startup probe
    that still asks, and else to be ready. One that listens just after it was asked is only asked again a period later.
    ``container`` is its status."""
    spec = pod.get("spec", {})
    specs = [*spec.get("initContainers", ()), *spec.get("containers", ())]
    own: Object = next((one for one in specs if one["name"] == container["name"]), {})
    startup, readiness = own.get("startupProbe"), own.get("readinessProbe")
    if startup and not container.get("started"):
        return _seconds(startup, startup.get("failureThreshold", 3))
    return _seconds(readiness, readiness.get("successThreshold", 1)) if readiness else 0.0


def _seconds(probe: Object, times: int) -> float:
    """How long a probe takes to ask so many times, with the API's own defaults."""
    return float(probe.get("initialDelaySeconds", 0) + probe.get("periodSeconds", 10) * times)


def stalled(deployment: Object, replica_set: str) -> list[str]:
    """That the rollout to a ReplicaSet came to nothing, in its controller's words, which name it."""
    return [
        f"its rollout has stalled: {condition.get('message')}"
        for condition in deployment.get("status", {}).get("conditions", ())
        if condition["type"] == "Progressing"
        and condition.get("reason") == "ProgressDeadlineExceeded"
        and f'"{replica_set}"' in condition.get("message", "")
    ]
