"""Hangs a process: stops it with SIGSTOP, so that it keeps its port and memory but answers nothing.

The container needs a shell (``sh`` and ``kill``; busybox is enough) that may signal the process. The kernel shields PID
1 of a PID namespace from signals sent inside it, so the pods need ``shareProcessNamespace: true``, or an init process
that starts the one to stop. Undone with SIGCONT; if the container was restarted in the meantime, for example by a
liveness probe, the stopped process is gone.

The effect expires without the harness: before the process is stopped, a process is started in the container that sends
SIGCONT after the time-to-live of the effect (it needs ``sleep``), even if the harness or the network is gone by then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.containers import container_id, container_status
from harness.cluster.kube.objects import reference
from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.needs import Need, PodTemplate, WorkloadManifests
from harness.faults.targets import PodTarget
from harness.model.timeline import Victim

# Reads /proc instead of using ps or pidof, which many images lack. $1 is the process name as the kernel keeps it (15
# bytes), $2 a signal or nothing. Prints "<pid> <state>" of each process of that name, except this shell and the
# processes started by ARM_SCRIPT. In a stat line, state and parent follow the last ")": the name before it may contain
# any character. `read` drops the NUL bytes of a command line and stops at the first line of a script, which is the mark
# of the processes started by ARM_SCRIPT.
SIGNAL_SCRIPT = """
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
# $1: seconds; $2: SIGNAL_SCRIPT; $3: the process name. SIGTERM ends it together with its sleep: with SIGKILL, since a
# shell that has just forked and not yet become sleep loses a SIGTERM.
WAIT_SCRIPT = """: resilience-deadman
trap 'kill -KILL $! 2>/dev/null; exit 0' TERM
sleep "$1" & wait
sh -c "$2" sh "$3" CONT
"""
# $1 to $3: as for WAIT_SCRIPT, which is $4. The streams are redirected because an exec waits until they are closed.
ARM_SCRIPT = """
command -v sleep > /dev/null || { echo "there is no sleep" >&2; exit 1; }
sh -c "$4" sh "$1" "$2" "$3" < /dev/null > /dev/null 2>&1 &
echo "$! waits"
"""
# Ends every process that ARM_SCRIPT has started in this container.
DISARM_SCRIPT = """
for dir in /proc/[0-9]*; do
  line=
  { IFS= read -r line < "$dir/cmdline"; } 2> /dev/null
  case $line in *resilience-deadman*) kill -TERM "${dir#/proc/}";; esac
done
"""
_COMM_BYTES = 15
# The state of a process that a signal has stopped, see proc_pid_stat(5).
_STOPPED = "T"
_SHIELDED = (
    "it is PID 1 of its container, which the kernel shields: set shareProcessNamespace: true in the pod template"
)


@dataclass(frozen=True, slots=True)
class Container:
    """The container of a pod that commands are run in."""

    name: str


class ProcessHang(PodTarget, Fault):
    """Stop a process with SIGSTOP."""

    kind: ClassVar[str] = "processHang"
    example: ClassVar[Mapping[str, Any]] = {"selector": "app=podinfo", "count": "all", "process": "podinfo"}
    effect: ClassVar[Effect] = Effect.PROCESSES

    process: str = Field(min_length=1, description="name of the process, as in /proc/PID/comm")

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get") | allow(PODS, *EXEC_VERBS, part="exec")

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield what PodTarget needs, and pods whose process is certainly shielded from signals."""
        yield from super().needs_of(workload)
        if not workload.makes_unknown_pods:
            for pod in self.templates(workload):
                if self._is_shielded(pod):
                    name = reference(pod.item)
                    yield ("process",), f"process {self.process} of {name} cannot be stopped: {_SHIELDED}"

    def _is_shielded(self, pod: PodTemplate) -> bool:
        """Return whether the process is PID 1. Without a command in the manifest the image decides, which may start an
        init process, so that only a run can show it."""
        if pod.spec.get("shareProcessNamespace") or pod.spec.get("hostPID"):
            return False
        containers = [found for found in pod.serving if found.get("name") == self.container]
        if self.container is None:
            listed = pod.spec.get("containers")
            containers = [found for found in listed if isinstance(found, dict)] if isinstance(listed, list) else []
        command = containers[0].get("command") if containers else None
        program = str(command[0]).rpartition("/")[2] if isinstance(command, list) and command else ""
        return bool(program) and _kernel_name(program) == _kernel_name(self.process)

    def pretend(self, command: Sequence[str]) -> ExecResult:
        return ExecResult("7 waits\n" if ARM_SCRIPT in command else "7 S\n", "", 0)

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        pods = self.choose_pods(context.api, context.namespace, context.rng, context.clock.wall())
        return tuple(self._victim(context, pod) for pod in pods)

    def _victim(self, context: FaultContext, pod: Object) -> Victim:
        name, container = pod["metadata"]["name"], self.container_of(pod)
        victim = Victim("Pod", name, pod["metadata"]["uid"], f"container {container}", Container(container))
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
            # The timer first, so that no process is ever stopped that nothing would resume.
            self._processes(context, victim).arm(context.journal.ttl)
            error = self._processes(context, victim).signal("STOP")
            if error:
                raise Inconclusive(f"process {self.process} of pod {victim.name} could not be stopped: {error}")

    def _write_undo(self, context: FaultContext, victim: Victim) -> None:
        pod = context.api.find(PODS, victim.name, context.namespace)
        if pod is None or pod["metadata"]["uid"] != victim.uid:
            raise Inconclusive(f"pod {victim.name} disappeared before its process could be stopped, not by this fault")
        container = self.container_of(pod)
        parameters = {
            "namespace": context.namespace,
            "pod": victim.name,
            "uid": victim.uid,
            "container": container,
            "containerID": container_id(container_status(pod, container)),
            "process": self.process,
        }
        context.journal.write(self.kind, f"continue process {self.process} of pod {victim.name}", parameters)

    def _processes(self, context: FaultContext, victim: Victim) -> _Processes:
        container = victim.state_before(Container).name
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
            # Also in a restarted container: with a shared PID namespace the process may be in another container, where
            # it is still stopped.
            processes.signal("CONT")
            processes.disarm()
            found = processes.states()
        except HarnessError as error:
            now = cluster.api.find(PODS, processes.pod, processes.namespace)
            if (
                now is not None
                and container_id(container_status(now, processes.container)) == parameters["containerID"]
            ):
                if isinstance(error, ApiError):
                    raise
                # A shell that could not be started now (no memory, no PIDs) may start a moment later.
                raise NotYet(str(error)) from error
            return f"the container of pod {processes.pod} ended, and the process with it"
        stopped = [pid for pid, state in found.items() if state == _STOPPED]
        if stopped:
            raise NotYet(f"process {processes.process} of pod {processes.pod} is still stopped: PID {stopped}")
        return f"process {processes.process} of pod {processes.pod} {'runs' if found else 'has ended'}"


@dataclass(frozen=True, slots=True)
class _Processes:
    """The processes of one name that are visible in one container."""

    api: KubeApi
    namespace: str
    pod: str
    container: str
    process: str

    def states(self) -> dict[int, str]:
        """Return their state letters by PID. Raises HarnessError."""
        pairs = [line.split() for line in self._run("").stdout.splitlines()]
        return {int(pid): state for pid, state in pairs}

    def signal(self, name: str) -> str:
        """Send all of them a signal. Returns the shell's error, or that there is no such process; empty on success."""
        result = self._run(name)
        return result.stderr.strip() or ("" if result.stdout else "there is no such process")

    def arm(self, seconds: float) -> None:
        """Start a process in the container that continues them after so many seconds. Raises Inconclusive."""
        result = self._shell(ARM_SCRIPT, str(math.ceil(seconds)), SIGNAL_SCRIPT, self._name, WAIT_SCRIPT)
        if result.exit_code or "waits" not in result.stdout:
            why = result.stderr.strip() or f"exit code {result.exit_code}"
            raise Inconclusive(
                f"process {self.process} of pod {self.pod} was not stopped, since nothing would continue it "
                f"if the harness were gone: {why}"
            )

    def disarm(self) -> None:
        """End the processes that ``arm`` has started in this container, also those for other process names."""
        self._shell(DISARM_SCRIPT)

    def _run(self, signal: str) -> ExecResult:
        result = self._shell(SIGNAL_SCRIPT, self._name, signal)
        if result.exit_code:
            why = result.stderr.strip() or f"exit code {result.exit_code}"
            raise HarnessError(f"the processes of {self.pod}/{self.container} cannot be read: {why}")
        return result

    @property
    def _name(self) -> str:
        return _kernel_name(self.process)

    def _shell(self, script: str, *arguments: str) -> ExecResult:
        return self.api.exec(self.namespace, self.pod, ["sh", "-c", script, "sh", *arguments], self.container)


def _kernel_name(process: str) -> str:
    """Return the name of a process as the kernel keeps it in ``/proc/<pid>/comm``."""
    # The kernel cuts after 15 bytes, which may be within a character.
    return process.encode()[:_COMM_BYTES].decode(errors="ignore")
