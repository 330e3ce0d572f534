"""What killing a container and using up its memory have in common: both end it in its pod. Not a kind of fault.

The main process of the container is found with a shell in it (``sh`` with ``read``, as in busybox, dash and bash).
There is nothing to undo: the kubelet restarts the container, later each time (10 s, 20 s … up to 5 min) if it keeps
ending.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

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
from harness.faults.needs import Need, PodTemplate, WorkloadManifests
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
CHECK = "0"
_REFUSED = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True)
class Running:
    """A container before the fault: its id in the runtime, how often it had been restarted, its main process, and its
    memory limit in bytes if the fault needs that."""

    container: str
    container_id: str
    restarts: int
    main: int
    memory: int = 0


@dataclass(frozen=True, slots=True)
class MainProcess:
    """A process in its PID namespace, with the bit masks of the signals that it ignores and handles."""

    pid: int
    ignored: int
    caught: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (PID {self.pid})"


class ContainerEnd(PodTarget, Fault):
    """Chooses containers, journals their end, and shows that they ended and were restarted."""

    effect: ClassVar[Effect] = Effect.CONTAINERS
    verb: ClassVar[str]
    hits_init_containers: ClassVar[bool] = True

    container: str | None = Field(
        default=None,
        description="the container to end and to run commands in, the first one of the pod by default; also a sidecar, "
        "or an init container, whose pods are candidates while it runs",
    )

    @abstractmethod
    def obstacle(self, declared: Mapping[str, Any], process: MainProcess) -> str:
        """Return why the fault would not end a container with this manifest and main process; "" if it would."""

    def memory_of(self, declared: Mapping[str, Any]) -> int:
        """Return the memory limit that the fault needs to hit the container, in bytes; 0 if it needs none."""
        del declared
        return 0

    @abstractmethod
    def hit(self, context: FaultContext, victim: Victim) -> None:
        """End the container of a victim. Raises Inconclusive, caused by an ApiError if the connection was lost."""

    @abstractmethod
    def is_own(self, ended: Mapping[str, Any]) -> bool:
        """Return whether a container that ended like this may have been ended by this fault."""

    def lacks(self, pod: PodTemplate, container: Mapping[str, Any]) -> Iterator[Need]:
        """Yield what a pod of the workload certainly lacks for this fault."""
        del pod, container
        yield from ()

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get") | allow(PODS, *EXEC_VERBS, part="exec")

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield what PodTarget needs, containers that are never restarted, and what the kind itself needs."""
        yield from super().needs_of(workload)
        if workload.makes_unknown_pods:
            return
        for pod in self.templates(workload):
            known = (*pod.serving, *pod.initial)
            container = next((found for found in known if self.container in {None, found.get("name")}), None)
            if container is None:
                continue
            if restart_policy(pod.spec, container) == "Never":
                name = reference(pod.item)
                yield ("selector",), f"containers of {name} have restartPolicy Never: the kubelet would not restart one"
            else:
                yield from self.lacks(pod, container)

    def pretend(self, command: Sequence[str]) -> ExecResult:
        del command
        return ExecResult("7 0 ffffffff main\n", "", 0)

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        pods = self.choose_pods(context.api, context.namespace, context.rng, context.clock.wall())
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
        process = main_process(context.api, context.namespace, name, container, CHECK)
        if why := self.obstacle(declared, process):
            raise Inconclusive(f"{title}: {why}")
        restarts, memory = int(status.get("restartCount", 0)), self.memory_of(declared)
        before = Running(container, container_id(status), restarts, process.pid, memory)
        return Victim("Pod", name, pod["metadata"]["uid"], f"container {container}, {process}", before)

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
        # All in one entry, so that no journal write delays the victims after the first.
        text = f"{self.verb} container {names}: nothing to undo, restarting it is up to the kubelet"
        context.journal.write(self.kind, text, {"namespace": context.namespace, "pods": pods})
        for victim in victims:
            try:
                self.hit(context, victim)
            except Inconclusive as error:
                # The end of the main process ends the shell too, and with it the connection: only evidence shows the
                # outcome then. A refused request was never executed.
                if not isinstance(error.__cause__, ApiError) or error.__cause__.status in _REFUSED:
                    raise

    def _check_unchanged(self, context: FaultContext, victim: Victim) -> None:
        before, pod = victim.state_before(Running), context.api.find(PODS, victim.name, context.namespace)
        if pod is None or pod["metadata"]["uid"] != victim.uid:
            raise Inconclusive(f"pod {victim.name} disappeared before its container was hit, not by this fault")
        if container_id(container_status(pod, before.container)) != before.container_id:
            raise Inconclusive(f"container {before.container} of pod {victim.name} was restarted, not by this fault")

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
        return (True, text) if self.is_own(ended) else (False, f"{text}: not by this fault")

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Report the state of the containers. Changes nothing."""
        namespace = parameters["namespace"]
        fates = [_fate(cluster.api.find(PODS, pod["name"], namespace), pod) for pod in parameters["pods"]]
        return f"nothing to undo: {'; '.join(fates)}"


def main_process(api: KubeApi, namespace: str, pod: str, container: str, signal: str) -> MainProcess:
    """Send the container's main process a signal, or with CHECK only find it. Raises Inconclusive."""
    title = f"the main process of container {container} of pod {pod}"
    try:
        done = api.exec(namespace, pod, ["sh", "-c", MAIN_SCRIPT, "sh", signal], container)
    except ApiError as error:
        raise Inconclusive(f"{title} cannot be signalled: {error}") from error
    try:
        pid, ignored, caught, *name = done.stdout.split()
        process = MainProcess(int(pid), int(ignored, 16), int(caught, 16), " ".join(name))
    except ValueError as error:
        why = done.stderr.strip() or f"exit code {done.exit_code}"
        raise Inconclusive(f"{title} cannot be found: {why}; it needs a shell (sh) in its image") from error
    if done.stderr.strip():
        raise Inconclusive(f"{title} cannot be signalled: {done.stderr.strip()}")
    return process


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
    return f"{title} has not ended" if same else f"{title} has ended"
