"""Hangs a process: stops it with SIGSTOP, so that it holds its port and its memory and answers nothing.

The container needs a shell (``sh`` and ``kill``, busybox will do) that may signal the process. The kernel shields PID 1
of a PID namespace from signals that are sent inside it, so the pods need ``shareProcessNamespace: true``, or an init
process that starts the one meant. Undone with SIGCONT; when the container was restarted meanwhile, as a liveness probe
does, the stopped process went with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import PODS
from harness.cluster.transport import ExecResult
from harness.errors import HarnessError, Inconclusive
from harness.fault import Evidence, Fault, FaultContext
from harness.observation import Victim
from harness.target import PodTarget

# Neither ps nor pidof: every shell can read /proc. $1 is the name as the kernel keeps it (15 bytes), $2 a signal or
# nothing; prints "<pid> <state>" of each process of that name but this shell. What follows the last ")" of a stat line
# begins with the state; the name before it may hold anything.
_SCRIPT = """
for dir in /proc/[0-9]*; do
  pid=${dir#/proc/}
  { IFS= read -r name < "$dir/comm" && IFS= read -r line < "$dir/stat"; } 2>/dev/null || continue
  [ "$name" = "$1" ] && [ "$pid" != "$$" ] || continue
  [ -z "$2" ] || kill "-$2" "$pid" || continue
  rest=${line##*) }
  echo "$pid ${rest%% *}"
done
"""
_COMM_BYTES = 15
_STOPPED = "T"
_SHIELDED = (
    "it is PID 1 of its container, which the kernel shields: set shareProcessNamespace: true in the pod template"
)


class ProcessHang(PodTarget, Fault):
    """Stop a process with SIGSTOP."""

    kind: ClassVar[str] = "processHang"

    process: str = Field(min_length=1, description="name of the process, as /proc/<pid>/comm shows it")

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get") | allow(PODS, *EXEC_VERBS, part="exec")

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        pods = self.choose_pods(context.api, context.namespace, context.rng)
        return tuple(self._victim(context, pod) for pod in pods)

    def _victim(self, context: FaultContext, pod: Object) -> Victim:
        name, container = pod["metadata"]["name"], self.container_of(pod)
        victim = Victim("Pod", name, pod["metadata"]["uid"], f"container {container}")
        found = self._processes(context, victim).states()
        if not found:
            raise Inconclusive(f"no process {self.process} in container {container} of pod {name}")
        if set(found) == {1}:
            raise Inconclusive(f"process {self.process} of pod {name} cannot be stopped: {_SHIELDED}")
        return victim

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            self._write_undo(context, victim)
        for victim in victims:
            refused = self._processes(context, victim).signal("STOP")
            if refused:
                raise Inconclusive(f"process {self.process} of pod {victim.name} could not be stopped: {refused}")

    def _write_undo(self, context: FaultContext, victim: Victim) -> None:
        pod = context.api.find(PODS, victim.name, context.namespace)
        if pod is None or pod["metadata"]["uid"] != victim.uid:
            raise Inconclusive(f"pod {victim.name} had left by itself before its process could be stopped")
        container = self.container_of(pod)
        parameters = {
            "namespace": context.namespace,
            "pod": victim.name,
            "uid": victim.uid,
            "container": container,
            "containerID": _container_id(pod, container),
            "process": self.process,
        }
        context.journal.write(self.kind, f"continue process {self.process} of pod {victim.name}", parameters)

    def _processes(self, context: FaultContext, victim: Victim) -> _Processes:
        container = victim.detail.removeprefix("container ")
        return _Processes(context.api, context.namespace, victim.name, container, self.process)

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(f"{victim.name}: {text}" for victim, (_, text) in zip(victims, outcomes, strict=True))
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        pod = context.api.find(PODS, victim.name, context.namespace)
        if pod is None or pod["metadata"]["uid"] != victim.uid:
            return False, "the pod is gone"
        try:
            found = self._processes(context, victim).states()
        except HarnessError as error:
            return False, str(error)
        states = ", ".join(f"PID {pid} is in state {state}" for pid, state in found.items())
        if not found:
            return False, f"no process {self.process}"
        if found.get(1, _STOPPED) != _STOPPED:
            return False, f"{states}: {_SHIELDED}"
        return all(state == _STOPPED for state in found.values()), f"process {self.process}: {states}"

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        names = (parameters[key] for key in ("namespace", "pod", "container", "process"))
        processes = _Processes(cluster.api, *names)
        pod = cluster.api.find(PODS, processes.pod, processes.namespace)
        if pod is None or pod["metadata"]["uid"] != parameters["uid"]:
            return f"pod {processes.pod} is gone, and the process with it"
        try:
            # In a restarted container too: when it only lent its shell, the process still stands in the one beside it.
            processes.signal("CONT")
            found = processes.states()
        except HarnessError:
            now = cluster.api.find(PODS, processes.pod, processes.namespace)
            if now is not None and _container_id(now, processes.container) == parameters["containerID"]:
                raise
            return f"the container of pod {processes.pod} ended, and the process with it"
        stopped = [pid for pid, state in found.items() if state == _STOPPED]
        if stopped:
            raise HarnessError(f"process {processes.process} of pod {processes.pod} is still stopped: PID {stopped}")
        return f"process {processes.process} of pod {processes.pod} {'runs' if found else 'has ended'}"


@dataclass(frozen=True, slots=True)
class _Processes:
    """The processes of one name as one container sees them."""

    api: KubeApi
    namespace: str
    pod: str
    container: str
    process: str

    def states(self) -> dict[int, str]:
        """Their state letters, by PID."""
        pairs = [line.split() for line in self._run("").stdout.splitlines()]
        return {int(pid): state for pid, state in pairs}

    def signal(self, name: str) -> str:
        """Send all of them a signal. Returns what the shell complained about, or that there was none."""
        result = self._run(name)
        return result.stderr.strip() or ("" if result.stdout else "there is none")

    def _run(self, signal: str) -> ExecResult:
        name = self.process.encode()[:_COMM_BYTES].decode(errors="ignore")
        result = self.api.exec(self.namespace, self.pod, ["sh", "-c", _SCRIPT, "sh", name, signal], self.container)
        if result.exit_code:
            why = result.stderr.strip() or f"exit code {result.exit_code}"
            raise HarnessError(f"the processes of {self.pod}/{self.container} cannot be read: {why}")
        return result


def _container_id(pod: Object, container: str) -> str:
    """The ID of the container that runs now under this name; empty when none does."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        if status["name"] == container and "running" in status.get("state", {}):
            return str(status.get("containerID", ""))
    return ""
