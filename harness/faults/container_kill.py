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
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.cluster.kube.objects import reference
from harness.faults.base import FaultContext
from harness.faults.container_end import ContainerEnd, MainProcess, Running, main_process
from harness.faults.needs import Need, PodTemplate
from harness.model.timeline import Victim

_SHIELDED = "the kernel shields PID 1 of a container from it: set shareProcessNamespace: true in the pod template"


class ContainerKill(ContainerEnd):
    """Kill the main process of a container, which the kubelet then restarts in place."""

    kind: ClassVar[str] = "containerKill"
    example: ClassVar[Mapping[str, Any]] = {"selector": "app=podinfo", "count": 1, "container": "podinfo"}
    verb: ClassVar[str] = "kill"

    signal: Literal["KILL", "TERM", "INT", "QUIT", "HUP", "ABRT", "SEGV"] = Field(
        default="KILL", description="the signal that the main process of the container gets"
    )

    def lacks(self, pod: PodTemplate, container: Mapping[str, Any]) -> Iterator[Need]:
        """Yield processes that are shielded from SIGKILL."""
        del container
        if self.signal == "KILL" and not pod.spec.get("shareProcessNamespace") and not pod.spec.get("hostPID"):
            name = reference(pod.item)
            yield ("signal",), f"SIGKILL has no effect in {name}: {_SHIELDED}, or use a signal that it handles"

    def obstacle(self, declared: Mapping[str, Any], process: MainProcess) -> str:
        """Return why the kernel would not deliver the signal or the process would ignore it; empty if neither."""
        del declared
        why = self._no_effect(process)
        return f"SIG{self.signal} would not end its main process {process}: {why}" if why else ""

    def _no_effect(self, process: MainProcess) -> str:
        if self.signal == "KILL":
            return _SHIELDED if process.pid == 1 else ""
        bit = 1 << (signals.Signals[f"SIG{self.signal}"] - 1)
        if process.ignored & bit:
            return "it ignores this signal"
        shielded = process.pid == 1 and not process.caught & bit
        return f"it has no handler for this signal, and {_SHIELDED}" if shielded else ""

    def hit(self, context: FaultContext, victim: Victim) -> None:
        container = victim.state_before(Running).container
        main_process(context.api, context.namespace, victim.name, container, self.signal)

    def is_own(self, ended: Mapping[str, Any]) -> bool:
        killed = ended.get("exitCode") == 128 + signals.SIGKILL and ended.get("reason") != "OOMKilled"
        return killed or self.signal != "KILL"
