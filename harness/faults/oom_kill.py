"""Uses up the memory of containers, until the kernel kills them out of memory and the kubelet restarts them.

The memory is really used, inside the container's own control group: a shell in the container starts processes that hold
more and more of it, up to twice the limit. The main process is made the kernel's first choice (its ``oom_score_adj`` is
raised to 1000), since only control groups of version 2 are killed as a whole. Each of these processes holds less memory
than the main process, which should have at least 4 MB. They end with their container, and by themselves after some
seconds if the kernel did nothing.

The container needs a memory limit, else the memory of its node would be used up, and an image with ``sh`` and
``sleep``. They run as the container's user, which must own the main process. There is nothing to undo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from harness.cluster.kube.objects import reference
from harness.cluster.kube.quantities import bytes_of
from harness.cluster.kube.transport import ExecResult
from harness.common.errors import ApiError, Inconclusive
from harness.faults.base import FaultContext
from harness.faults.container_end import ContainerEnd, MainProcess, Running
from harness.faults.needs import Need, PodTemplate
from harness.model.timeline import Victim

# $1: PID of the main process, $2: the limit in bytes, $3: seconds after which everything ends. VmRSS is in KiB. Each
# process holds two to three times `size` bytes, less than the main process: the kernel kills the largest of those with
# the same score. They wait for a line that never comes; `sleep` closes the pipe at the end.
FILL_SCRIPT = """
main=$1 limit=$2 seconds=$3 used=
while read -r key value _; do [ "$key" != VmRSS: ] || used=$value; done < "/proc/$main/status"
[ -n "$used" ] || { echo "process $main has no memory of its own" >&2; exit 1; }
command -v sleep > /dev/null || { echo "there is no sleep" >&2; exit 1; }
echo 1000 > "/proc/$main/oom_score_adj" || exit 1
least=$(( used * 64 )) text=0123456789abcdef size=16
[ "$least" -ge 131072 ] || least=131072
[ "$least" -le 16777216 ] || least=16777216
while [ "$size" -lt "$least" ]; do text=$text$text size=$(( size * 2 )); done
number=$(( limit / size + 1 ))
sleep "$seconds" | {
  exec 3<&0
  while [ "$number" -gt 0 ]; do
    ( more=$text$text; read -r _ <&3 ) &
    number=$(( number - 1 ))
  done
  wait
}
"""
# Filling takes a second or two; a machine under load may need longer.
_SECONDS = 20.0
_NO_LIMIT = "it has no memory limit, so that the memory of its node would be used up"
_OOM = "OOMKilled"


class OomKill(ContainerEnd):
    """Use up the memory of a container, until the kernel kills it and the kubelet restarts it in place."""

    kind: ClassVar[str] = "oomKill"
    example: ClassVar[Mapping[str, Any]] = {"selector": "app=podinfo", "count": 1, "container": "podinfo"}
    verb: ClassVar[str] = "use up the memory of"

    def lacks(self, pod: PodTemplate, container: Mapping[str, Any]) -> Iterator[Need]:
        """Yield containers without a memory limit."""
        if not _limit_of(container):
            name = f"container {container.get('name')} of {reference(pod.item)}"
            yield ("container",), f"{name} cannot run out of memory: {_NO_LIMIT}"

    def obstacle(self, declared: Mapping[str, Any], process: MainProcess) -> str:
        del process
        return "" if _limit_of(declared) else _NO_LIMIT

    def memory_of(self, declared: Mapping[str, Any]) -> int:
        return _limit_of(declared)

    def hit(self, context: FaultContext, victim: Victim) -> None:
        before = victim.state_before(Running)
        numbers = (str(before.main), str(before.memory), f"{_SECONDS:g}")
        command = ["sh", "-c", FILL_SCRIPT, "sh", *numbers]
        title = f"the memory of container {before.container} of pod {victim.name}"
        try:
            done = context.api.exec(context.namespace, victim.name, command, before.container, 2 * _SECONDS)
        except ApiError as error:
            raise Inconclusive(f"{title} cannot be used up: {error}") from error
        if why := _refused(done):
            raise Inconclusive(f"{title} cannot be used up: {why}; it needs sh, sleep and the main process's user")

    def is_own(self, ended: Mapping[str, Any]) -> bool:
        return ended.get("reason") == _OOM


def _refused(done: ExecResult) -> str:
    """Return why the script could not begin; empty if it was killed or ended."""
    if done.exit_code in {0, 137}:
        return ""
    return done.stderr.strip() or f"exit code {done.exit_code}"


def _limit_of(container: Mapping[str, Any]) -> int:
    """Return the memory limit of a container in bytes; 0 if it has none."""
    limits = (container.get("resources") or {}).get("limits") or {}
    return bytes_of(str(limits.get("memory") or "0"))
