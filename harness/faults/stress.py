"""What the faults that use up resources have in common: the program, its arguments, the kernel's counters. Not a kind.

stress-ng runs in a separate container, beside those of the application. The container waits until it is started, and
ends by itself if that does not happen, so that one that the kubelet starts late does nothing. stress-ng ends by itself
too, after the time-to-live of the effect, even if the harness or the network is gone by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.quantities import bytes_of
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet, TimedOut
from harness.common.waiting import wait_until
from harness.faults.base import Evidence, FaultContext

IMAGE = "${image:stress-ng}"
# The number of the user "nonroot" in distroless images; any but root would do.
_USER = 65532
# Until the container runs, its image included; and until one that is not started ends by itself.
START_SECONDS, WAIT_SECONDS = 60.0, 90
# What counts as evidence: seconds of CPU time, bytes of I/O, and the share of the memory to be filled.
_SECONDS_OF_CPU = 0.5
_BYTES_WRITTEN = 1024 * 1024
_OF_MEMORY = 0.9
# $1: seconds to wait for GO_SCRIPT; the rest are stress-ng's arguments. The first line is the mark that STOP_SCRIPT
# looks for. SIGTERM ends stress-ng in order, so that it removes its files; a second one does not wait for that.
RUN_SCRIPT = """: resilience-stress
trap 'exit 0' TERM
left=$(( $1 * 5 )); shift
while [ ! -e /tmp/resilience-go ]; do
  [ "$left" -gt 0 ] || exit 0
  left=$(( left - 1 ))
  sleep 0.2
done
stop=
trap 'stop=1' TERM
stress-ng "$@" &
wait "$!"
[ -n "$stop" ] || exit 0
trap 'exit 0' TERM
kill -TERM "$!" 2> /dev/null
wait "$!"
exit 0
"""
# Prints what has started, since the shell of a container without stress-ng would end without a word.
GO_SCRIPT = """
command -v stress-ng > /dev/null || { echo "the image has no stress-ng" >&2; exit 1; }
: > /tmp/resilience-go && echo started
"""
# `read` stops at the end of a script's first line, so that this script is not found by itself.
STOP_SCRIPT = """
for dir in /proc/[0-9]*; do
  line=
  { IFS= read -r line < "$dir/cmdline"; } 2> /dev/null
  case $line in *resilience-stress*) kill -TERM "${dir#/proc/}";; esac
done
"""
# Prints "<name> <number>" of the counters of the container's control group, in version 2 or version 1, and the percent
# of the last ten seconds in which some process of the machine waited for a resource (PSI). Control groups of version 1
# count no I/O since Linux 6.10, unless they limit it; what the kernel counts for each process is read too.
READ_SCRIPT = """
cd /sys/fs/cgroup || exit 1
value() { [ -r "$2" ] && { IFS= read -r number < "$2"; echo "$1 $number"; }; }
field() { [ -r "$3" ] && while read -r key number _; do [ "$key" != "$2" ] || echo "$1 $number"; done < "$3"; }
if [ -e cgroup.controllers ]; then
  field cpu-us usage_usec cpu.stat
  field throttled nr_throttled cpu.stat
  value memory memory.current
  value memory memory.peak
  field killed oom_kill memory.events
  value tasks pids.current
  [ -r io.stat ] && while read -r _ line; do
    for each in $line; do case $each in rbytes=*|wbytes=*) echo "io ${each#*=}";; esac; done
  done < io.stat
else
  value cpu-ns cpuacct/cpuacct.usage
  field throttled nr_throttled cpu/cpu.stat
  value memory memory/memory.max_usage_in_bytes
  field killed oom_kill memory/memory.oom_control
  value tasks pids/pids.current
  [ -r blkio/blkio.throttle.io_service_bytes ] && while read -r _ kind number; do
    case $kind in Read|Write) echo "io $number";; esac
  done < blkio/blkio.throttle.io_service_bytes
fi
for dir in /proc/[0-9]*; do
  IFS= read -r comm < "$dir/comm"
  case $comm in stress-ng*)
    while read -r key number; do [ "$key" != write_bytes: ] || echo "written $number"; done < "$dir/io";;
  esac
done 2> /dev/null
for kind in cpu memory io; do
  [ -r "/proc/pressure/$kind" ] && while read -r some average _; do
    [ "$some" != some ] || echo "pressure-$kind ${average#avg10=}"
  done < "/proc/pressure/$kind"
done
exit 0
"""


def _check_bytes(text: str) -> str:
    if bytes_of(text) < 1024 * 1024:
        raise ValueError(f"found {text!r}, expected at least 1Mi")
    return text


Bytes = Annotated[str, AfterValidator(_check_bytes)]


class Stress(BaseModel):
    """Fields of a fault that uses up resources."""

    cpu: int | None = Field(
        default=None, ge=1, le=64, strict=True, description="how many processes compute all the time"
    )
    memory: Bytes | None = Field(
        default=None, description="how much memory is filled and kept, such as 128Mi; filled again after it was killed"
    )
    io: Bytes | None = Field(
        default=None, description="the size of a file that is written and synced again and again, such as 16Mi"
    )
    processes: int | None = Field(
        default=None, ge=1, le=30000, strict=True, description="how many threads exist and sleep most of the time"
    )
    image: str = Field(
        default=IMAGE,
        min_length=1,
        description="an image with stress-ng and sh; by default the harness's, or the published one of stress-ng",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_image(cls, data: Any) -> Any:  # noqa: ANN401 - what a file has
        # As if the file had it, since images are brought and rendered where a fault names them.
        return {"image": IMAGE, **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _uses_something(self) -> Self:
        if not self.uses:
            raise ValueError("found none of cpu, memory, io and processes, expected at least one")
        return self

    @property
    def uses(self) -> dict[str, int | str]:
        """What is used up, by the names of the parameters."""
        given = {"cpu": self.cpu, "memory": self.memory, "io": self.io, "processes": self.processes}
        return {name: value for name, value in given.items() if value is not None}

    def pretend(self, command: Sequence[str]) -> ExecResult:
        """Return what a command prints if all is well: see ``Fault.pretend``."""
        return ExecResult("started\n" if GO_SCRIPT in command else "", "", 0)

    def summary(self) -> str:
        """Return what is used up in a few words."""
        return ", ".join(f"{name} {value}" for name, value in self.uses.items())

    def stressor(self, name: str, seconds: float) -> Object:
        """Return the container that does it, for at most so many seconds. It meets the Pod Security Standard
        "restricted"."""
        arguments = ["--timeout", f"{math.ceil(seconds)}s", "--temp-path", "/tmp", *self._arguments()]  # noqa: S108
        return {
            "name": name,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", RUN_SCRIPT, "sh", str(WAIT_SECONDS), *arguments],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }

    def _arguments(self) -> Iterator[str]:
        if self.cpu is not None:
            yield from ("--cpu", str(self.cpu))
        if self.memory is not None:
            # Hangs with the memory instead of computing with it, which would use up CPU time too.
            yield from ("--vm", "1", "--vm-bytes", str(bytes_of(self.memory)), "--vm-keep", "--vm-hang", "0")
        if self.io is not None:
            # Synced, since control groups of version 1 do not count what the kernel writes to the disk later.
            yield from ("--hdd", "1", "--hdd-bytes", str(bytes_of(self.io)))
            yield from ("--hdd-write-size", "1M", "--hdd-opts", "wr-seq,fsync")
        if self.processes is not None:
            yield from ("--sleep", "1", "--sleep-max", str(self.processes))

    def outcome(self, counters: Counters) -> tuple[bool, str]:
        """Return whether the kernel's counters show everything that is to be used up, and what they show."""
        proven, texts = [], []
        if self.cpu is not None:
            proven.append(counters.cpu_seconds >= _SECONDS_OF_CPU)
            throttled = f", throttled {counters.throttled} times" if counters.throttled else ""
            texts.append(f"{counters.cpu_seconds:.1f} s of CPU time{throttled}")
        if self.memory is not None:
            proven.append(counters.memory >= _OF_MEMORY * bytes_of(self.memory) or counters.killed > 0)
            killed = f", killed out of memory {counters.killed} times" if counters.killed else ""
            texts.append(f"at most {counters.memory / 2**20:.0f} MiB of memory{killed}")
        if self.io is not None:
            proven.append(counters.io >= _BYTES_WRITTEN)
            texts.append(f"{counters.io / 2**20:.0f} MiB of disk I/O")
        if self.processes is not None:
            proven.append(counters.tasks >= self.processes)
            texts.append(f"{counters.tasks} tasks")
        return all(proven), f"used {'; '.join([*texts, *counters.pressure])}"


@dataclass(frozen=True, slots=True)
class Counters:
    """What the kernel counted for one control group since it exists, and the pressure on its machine."""

    cpu_seconds: float = 0.0
    throttled: int = 0
    memory: int = 0
    killed: int = 0
    io: int = 0
    tasks: int = 0
    pressure: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Counters:
        """Read what READ_SCRIPT prints; counters that this kernel does not have are zero."""
        found: dict[str, list[float]] = {}
        for line in text.splitlines():
            name, _, number = line.partition(" ")
            # A file that this kernel lacks or that is empty prints no number.
            with suppress(ValueError):
                value = float(number)
                found.setdefault(name, []).append(value)
        cpu = sum(found.get("cpu-us", ())) / 1e6 + sum(found.get("cpu-ns", ())) / 1e9
        waits = [
            f"{kind} {found[f'pressure-{kind}'][0]:.0f}%"
            for kind in ("cpu", "memory", "io")
            if f"pressure-{kind}" in found
        ]
        return cls(
            cpu_seconds=cpu,
            throttled=int(sum(found.get("throttled", ()))),
            memory=int(max(found.get("memory", (0,)))),
            killed=int(sum(found.get("killed", ()))),
            io=int(max(sum(found.get("io", ())), sum(found.get("written", ())))),
            tasks=int(max(found.get("tasks", (0,)))),
            pressure=(f"pressure on the node (PSI, 10 s): {', '.join(waits)}",) if waits else (),
        )


@dataclass(frozen=True, slots=True)
class StressContainer:
    """A container in which stress-ng runs. ``status`` returns its status in the pod, None if the pod is gone."""

    api: KubeApi
    namespace: str
    pod: str
    name: str
    status: Callable[[], Mapping[str, Any] | None]

    def start(self, context: FaultContext) -> None:
        """Wait until it runs, and start stress-ng. Raises Inconclusive."""
        title = f"stress-ng in container {self.name} of pod {self.pod}"
        try:
            wait_until(f"{title} to run", self._look, START_SECONDS, context.clock)
            done = self._shell(GO_SCRIPT)
        except (ApiError, TimedOut) as error:
            raise Inconclusive(f"{title} could not be started: {error}") from error
        if "started" not in done.stdout:
            why = done.stderr.strip() or f"exit code {done.exit_code}"
            raise Inconclusive(f"{title} could not be started: {why}")

    def _look(self) -> tuple[bool | None, str]:
        status = self.status()
        if status is None:
            raise Inconclusive(f"pod {self.pod} disappeared before it was stressed, not by this fault")
        state = status.get("state") or {}
        if "terminated" in state:
            ended = state["terminated"]
            how = f"exit code {ended.get('exitCode')}, {ended.get('reason')}"
            raise Inconclusive(f"container {self.name} of pod {self.pod} ended before it was started: {how}")
        waiting = state.get("waiting") or {}
        return (
            "running" in state
        ) or None, f"{waiting.get('reason', 'no status')} {waiting.get('message', '')}".strip()

    def runs(self) -> bool:
        """Return whether the container runs now."""
        return "running" in ((self.status() or {}).get("state") or {})

    def counters(self) -> Counters:
        """Return its counters. Raises HarnessError."""
        done = self._shell(READ_SCRIPT)
        if done.exit_code:
            raise HarnessError(f"its counters cannot be read: {done.stderr.strip() or f'exit code {done.exit_code}'}")
        return Counters.parse(done.stdout)

    def stop(self) -> str:
        """End stress-ng. Returns how the container ended or that it never started. Raises NotYet while it runs."""
        status = self.status()
        state = {} if status is None else status.get("state") or {}
        if "running" not in state:
            # One that has not started yet waits for GO_SCRIPT, which nothing runs any more.
            return "has ended" if "terminated" in state else "was not started"
        self._shell(STOP_SCRIPT)
        if self.runs():
            raise NotYet(f"stress-ng in container {self.name} of pod {self.pod} still runs")
        return "has ended"

    def _shell(self, script: str) -> ExecResult:
        return self.api.exec(self.namespace, self.pod, ["sh", "-c", script], self.name)


def judged(stress: Stress, names: Sequence[str], counters: Callable[[str], Counters | str]) -> Evidence:
    """Return the evidence of victims with these names: counters of each, or why there are none."""
    proven, texts = [], []
    for name in names:
        found = counters(name)
        ok, text = (False, found) if isinstance(found, str) else stress.outcome(found)
        proven.append(ok)
        texts.append(f"{name}: {text}")
    return Evidence(bool(proven) and all(proven), "; ".join(texts))
