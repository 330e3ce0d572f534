"""Hangs a process: stops it with SIGSTOP, so that it holds its port and its memory and answers nothing.

The container needs a shell (``sh`` and ``kill``, busybox will do) that may signal the process. The kernel shields PID 1
of a PID namespace from signals that are sent inside it, so the pods need ``shareProcessNamespace: true``, or an init
process that starts the one meant. Undone with SIGCONT; when the container was restarted meanwhile, as a liveness probe
does, the stopped process went with it.

It expires by itself: before it stops anything it leaves a process in the container that sends SIGCONT when the effect
is overdue (``sleep`` is needed for it), whatever has become of the harness and of the way to it by then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import PODS
from harness.cluster.transport import ExecResult
from harness.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.fault import Evidence, Fault, FaultContext
from harness.observation import Victim
from harness.target import PodTarget

# Neither ps nor pidof: every shell can read /proc. $1 is the name as the kernel keeps it (15 bytes), $2 a signal or
# nothing; prints "<pid> <state>" of each process of that name but this shell and those that wait to set it going again.
# What follows the last ")" of a stat line begins with state and parent; the name before it may hold anything. Reading a
# command line skips the bytes between its words, and ends where a script begins: with the mark, for those that wait.
_SCRIPT = """
name=$1 signal=$2
waits() { line=; IFS= read -r line < "/proc/$1/cmdline"; case $line in *resilience-deadman*) return 0; esac; return 1; }
for dir in /proc/[0-9]*; do
  pid=${dir#/proc/}
  { IFS= read -r comm < "$dir/comm" && IFS= read -r stat < "$dir/stat"; } 2>/dev/null || continue
  [ "$comm" = "$name" ] && [ "$pid" != "$$" ] || continue
  set -- ${stat##*) }
  { waits "$pid" || waits "$2"; } 2>/dev/null && continue
  [ -z "$signal" ] || kill "-$signal" "$pid" || continue
  { IFS= read -r stat < "$dir/stat"; } 2>/dev/null || continue
  set -- ${stat##*) }
  echo "$pid $1"
done
"""
# $1: seconds; $2: the script above; $3: the name. A signal ends it together with its sleep.
_WAIT = """: resilience-deadman
trap 'kill $! 2>/dev/null; exit 0' TERM
sleep "$1" & wait
sh -c "$2" sh "$3" CONT
"""
# $1 to $3 as for the one above, which is $4. Its streams are let go: an exec would wait for them.
_ARM = """
command -v sleep > /dev/null || { echo "there is no sleep" >&2; exit 1; }
sh -c "$4" sh "$1" "$2" "$3" < /dev/null > /dev/null 2>&1 &
echo "$! waits"
"""
_DISARM = """
for dir in /proc/[0-9]*; do
  line=
  { IFS= read -r line < "$dir/cmdline"; } 2> /dev/null
  case $line in *resilience-deadman*) kill -TERM "${dir#/proc/}";; esac
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

    def pretend(self, command: Sequence[str]) -> ExecResult:
        return ExecResult("7 waits\n" if _ARM in command else "7 S\n", "", 0)

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
            self._processes(context, victim).arm(context.journal.ttl)
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
            processes.disarm()
            found = processes.states()
        except HarnessError as error:
            now = cluster.api.find(PODS, processes.pod, processes.namespace)
            if now is not None and _container_id(now, processes.container) == parameters["containerID"]:
                if isinstance(error, ApiError):
                    raise
                # A shell that could not be started now (no memory, no PIDs) may be a moment later.
                raise NotYet(str(error)) from error
            return f"the container of pod {processes.pod} ended, and the process with it"
        stopped = [pid for pid, state in found.items() if state == _STOPPED]
        if stopped:
            raise NotYet(f"process {processes.process} of pod {processes.pod} is still stopped: PID {stopped}")
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

    def arm(self, seconds: float) -> None:
        """Let them be continued from inside after so many seconds. Raises Inconclusive when that cannot be."""
        result = self._shell(_ARM, str(math.ceil(seconds)), _SCRIPT, self._name, _WAIT)
        if result.exit_code or "waits" not in result.stdout:
            why = result.stderr.strip() or f"exit code {result.exit_code}"
            raise Inconclusive(
                f"process {self.process} of pod {self.pod} was not stopped, for nothing would set it going again "
                f"if the harness were gone: {why}"
            )

    def disarm(self) -> None:
        """End what ``arm`` has left, together with that of other processes of this container."""
        self._shell(_DISARM)

    def _run(self, signal: str) -> ExecResult:
        result = self._shell(_SCRIPT, self._name, signal)
        if result.exit_code:
            why = result.stderr.strip() or f"exit code {result.exit_code}"
            raise HarnessError(f"the processes of {self.pod}/{self.container} cannot be read: {why}")
        return result

    @property
    def _name(self) -> str:
        return self.process.encode()[:_COMM_BYTES].decode(errors="ignore")

    def _shell(self, script: str, *arguments: str) -> ExecResult:
        return self.api.exec(self.namespace, self.pod, ["sh", "-c", script, "sh", *arguments], self.container)


def _container_id(pod: Object, container: str) -> str:
    """The ID of the container that runs now under this name; empty when none does."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        if status["name"] == container and "running" in status.get("state", {}):
            return str(status.get("containerID", ""))
    return ""
