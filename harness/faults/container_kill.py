"""Kills containers: sends their main process a signal, so that the kubelet restarts the container in its pod.

Unlike ``podKill`` the pod stays, with its address, its volumes and its other containers. The container needs a shell
(``sh`` with ``kill`` and ``read``, as in busybox, dash and bash), which sends the signal as the container's user. The
kernel shields PID 1 of a PID namespace from signals sent inside it that it does not handle, and always from SIGKILL. So
SIGKILL needs pods with ``shareProcessNamespace: true``; in others the process must handle the signal, for example
SIGTERM. Where that is not the case, nothing is sent and the verdict is INCONCLUSIVE.

There is nothing to undo: the kubelet restarts the container, later each time (10 s, 20 s … up to 5 min) if it keeps
ending.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.containers import container_id, container_status, restart_policy
from harness.cluster.kube.objects import reference
from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, Inconclusive
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.needs import Need, WorkloadManifests
from harness.faults.targets import PodTarget
from harness.model.timeline import Victim

# The main process is the one that was started first among those of this container, which has its own control group
# even if the pod shares one PID namespace. $1 is a signal, or 0 to only check that it may be sent. Prints "PID ignored
# caught name" with the masks of /proc/PID/status. In a stat line, the start time is the twentieth field after the last
# ")": the name before it may contain any character.
MAIN_SCRIPT = """
signal=$1 main= first=
lines() { found=; while IFS= read -r line; do found="$found$line;"; done; }
lines < "/proc/$$/cgroup"
own=$found
for dir in /proc/[0-9]*; do
  pid=${dir#/proc/}
  { lines < "$dir/cgroup" && IFS= read -r stat < "$dir/stat"; } 2> /dev/null || continue
  [ "$found" = "$own" ] && [ "$pid" != "$$" ] || continue
  set -- ${stat##*) }
  if [ -z "$main" ] || [ "${20}" -lt "$first" ] || { [ "${20}" = "$first" ] && [ "$pid" -lt "$main" ]; }; then
    main=$pid first=${20}
  fi
done
[ -n "$main" ] || { echo "found no process of this container in /proc" >&2; exit 1; }
while read -r key value; do
  case $key in Name:) name=$value;; SigIgn:) ignored=$value;; SigCgt:) caught=$value;; esac
done < "/proc/$main/status"
echo "$main $ignored $caught $name"
kill "-$signal" "$main"
"""
_CHECK = "0"
_REFUSED = frozenset({401, 403, 404})
_SHIELDED = "the kernel shields PID 1 of a container from it: set shareProcessNamespace: true in the pod template"


@dataclass(frozen=True, slots=True)
class Running:
    """A container before the fault: its id in the runtime, and how often it had been restarted."""

    container: str
    container_id: str
    restarts: int


class ContainerKill(PodTarget, Fault):
    """Kill the main process of a container, which the kubelet then restarts in place."""

    kind: ClassVar[str] = "containerKill"
    example: ClassVar[Mapping[str, Any]] = {"selector": "app=podinfo", "count": 1, "container": "podinfo"}
    effect: ClassVar[Effect] = Effect.CONTAINERS

    container: str | None = Field(
        default=None,
        description="the container to kill and to run commands in, also a sidecar; the first one of the pod by default",
    )
    signal: Literal["KILL", "TERM", "INT", "QUIT", "HUP", "ABRT", "SEGV"] = Field(
        default="KILL", description="the signal that the main process of the container gets"
    )

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get") | allow(PODS, *EXEC_VERBS, part="exec")

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield what PodTarget needs, containers that are never restarted, and processes that are shielded."""
        yield from super().needs_of(workload)
        if workload.makes_unknown_pods:
            return
        for pod in workload.selected(self.selector):
            containers = [found for found in pod.serving if self.container in {None, found.get("name")}]
            name = reference(pod.item)
            if containers and restart_policy(pod.spec, containers[0]) == "Never":
                yield ("selector",), f"containers of {name} have restartPolicy Never: the kubelet would not restart one"
            elif self.signal == "KILL" and not pod.spec.get("shareProcessNamespace") and not pod.spec.get("hostPID"):
                yield ("signal",), f"SIGKILL has no effect in {name}: {_SHIELDED}, or use a signal that it handles"

    def pretend(self, command: Sequence[str]) -> ExecResult:
        del command
        return ExecResult("7 0 ffffffff main\n", "", 0)

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        pods = self.choose_pods(context.api, context.namespace, context.rng)
        return tuple(self._victim(context, pod) for pod in pods)

    def _victim(self, context: FaultContext, pod: Object) -> Victim:
        name, container = pod["metadata"]["name"], self.container_of(pod)
        title = f"container {container} of pod {name}"
        declared = next(found for found in _declared(pod) if found["name"] == container)
        if restart_policy(pod["spec"], declared) == "Never":
            raise Inconclusive(f"{title} has restartPolicy Never: the kubelet would not restart it")
        status = container_status(pod, container)
        if "running" not in status.get("state", {}):
            raise Inconclusive(f"{title} does not run")
        before = Running(container, container_id(status), int(status.get("restartCount", 0)))
        process = self._send(context.api, context.namespace, name, container, _CHECK)
        if why := self._no_effect(process):
            raise Inconclusive(f"{title}: SIG{self.signal} would not end its main process {process}: {why}")
        return Victim("Pod", name, pod["metadata"]["uid"], f"container {container}, {process}", before)

    def _no_effect(self, process: _Process) -> str:
        """Return why the kernel would not deliver the signal or the process would ignore it; empty if neither."""
        if self.signal == "KILL":
            return _SHIELDED if process.pid == 1 else ""
        bit = 1 << (signals.Signals[f"SIG{self.signal}"] - 1)
        if process.ignored & bit:
            return "it ignores this signal"
        shielded = process.pid == 1 and not process.caught & bit
        return f"it has no handler for this signal, and {_SHIELDED}" if shielded else ""

    def _send(self, api: KubeApi, namespace: str, pod: str, container: str, signal: str) -> _Process:
        """Send the container's main process a signal, or only check it. Raises Inconclusive if that is impossible."""
        title = f"the main process of container {container} of pod {pod}"
        try:
            done = api.exec(namespace, pod, ["sh", "-c", MAIN_SCRIPT, "sh", signal], container)
        except ApiError as error:
            raise Inconclusive(f"{title} cannot be signalled: {error}") from error
        try:
            pid, ignored, caught, *name = done.stdout.split()
            process = _Process(int(pid), int(ignored, 16), int(caught, 16), " ".join(name))
        except ValueError as error:
            why = done.stderr.strip() or f"exit code {done.exit_code}"
            raise Inconclusive(f"{title} cannot be found: {why}; it needs a shell (sh) in its image") from error
        if done.stderr.strip():
            raise Inconclusive(f"{title} cannot be signalled: {done.stderr.strip()}")
        return process

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            self._check_unchanged(context, victim)
        names = ", ".join(f"{victim.name}/{victim.state_before(Running).container}" for victim in victims)
        pods = [
            {
                "name": victim.name,
                "uid": victim.uid,
                "container": (before := victim.state_before(Running)).container,
                "containerID": before.container_id,
            }
            for victim in victims
        ]
        # All in one entry, so that no journal write delays the signals after the first.
        text = f"kill container {names}: nothing to undo, restarting it is up to the kubelet"
        context.journal.write(self.kind, text, {"namespace": context.namespace, "pods": pods})
        for victim in victims:
            self._kill(context, victim)

    def _check_unchanged(self, context: FaultContext, victim: Victim) -> None:
        before, pod = victim.state_before(Running), context.api.find(PODS, victim.name, context.namespace)
        if pod is None or pod["metadata"]["uid"] != victim.uid:
            raise Inconclusive(f"pod {victim.name} disappeared before its container could be killed, not by this fault")
        if container_id(container_status(pod, before.container)) != before.container_id:
            raise Inconclusive(f"container {before.container} of pod {victim.name} was restarted, not by this fault")

    def _kill(self, context: FaultContext, victim: Victim) -> None:
        try:
            container = victim.state_before(Running).container
            self._send(context.api, context.namespace, victim.name, container, self.signal)
        except Inconclusive as error:
            # The end of the main process ends the shell too, and with it the connection: only evidence shows the
            # outcome then. A refused request was never executed.
            if not isinstance(error.__cause__, ApiError) or error.__cause__.status in _REFUSED:
                raise

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(f"{victim.name}: {text}" for victim, (_, text) in zip(victims, outcomes, strict=True))
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        before, pod = victim.state_before(Running), context.api.find(PODS, victim.name, context.namespace)
        if pod is None or pod["metadata"]["uid"] != victim.uid:
            return False, "the pod is gone"
        status = container_status(pod, before.container)
        restarts = f"restartCount {before.restarts} → {status.get('restartCount', 0)}"
        title = f"container {before.container}"
        ended = _end_of(status, before.container_id)
        if ended is None:
            # A container that ended again since has the later end in its status.
            again = int(status.get("restartCount", 0)) > before.restarts + 1
            return again, f"{title} {'was restarted more than once' if again else 'has not ended'}, {restarts}"
        code, reason = ended.get("exitCode"), ended.get("reason", "")
        text = f"{title} ended with exit code {code} ({reason}), {restarts}"
        if self.signal == "KILL" and (code != 128 + signals.SIGKILL or reason == "OOMKilled"):
            return False, f"{text}: not by this fault"
        return True, text

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Report the state of the containers. Changes nothing."""
        namespace = parameters["namespace"]
        fates = [_fate(cluster.api.find(PODS, pod["name"], namespace), pod) for pod in parameters["pods"]]
        return f"nothing to undo: {'; '.join(fates)}"


@dataclass(frozen=True, slots=True)
class _Process:
    """A process in its PID namespace, with the bit masks of the signals that it ignores and handles."""

    pid: int
    ignored: int
    caught: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (PID {self.pid})"


def _declared(pod: Object) -> list[Object]:
    return [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]


def _end_of(status: Mapping[str, Any], container_id: str) -> Mapping[str, Any] | None:
    """Return how the container with this id ended, as far as its status still has it."""
    ends = [(status.get(name) or {}).get("terminated") for name in ("state", "lastState")]
    return next((end for end in ends if end and end.get("containerID") == container_id), None)


def _fate(pod: Object | None, hit: Mapping[str, Any]) -> str:
    title = f"container {hit['container']} of pod {hit['name']}"
    if pod is None or pod["metadata"]["uid"] != hit["uid"]:
        return f"{title} is gone with its pod"
    same = container_id(container_status(pod, hit["container"])) == hit["containerID"]
    return f"{title} was not killed" if same else f"{title} was killed"
