"""The prober of an experiment, against Services of its workload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.clock import Clock
from harness.cluster.protocol import Cluster
from harness.cluster.services import node_port
from harness.observation import ProbeStream
from harness.prober.declaration import Probing
from harness.prober.driver import RunningProber
from harness.prober.wire import Settings, StreamSettings
from harness.timeouts import LOAD_GRACE


class TargetProber:
    """A running prober, started where the cluster says that the load starts. Raises Inconclusive when a Service cannot
    be dialled."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        probings: Sequence[Probing],
        *,
        folder: Path,
        seconds: float,
        clock: Clock,
    ) -> None:
        self._probings = probings
        streams = tuple(_settings(cluster, namespace, probing) for probing in probings)
        settings = Settings(streams, seconds + LOAD_GRACE)
        self._running = RunningProber.start(settings, folder, clock, cluster.load_command())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.stop()

    @property
    def pid(self) -> int:
        """The process, or the command in front of it."""
        return self._running.pid

    def wait_ready(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until every stream had a good answer. Raises Inconclusive, and whatever ``meanwhile`` does, which is
        called at every look."""
        self._running.wait_ready([probing.title for probing in self._probings], seconds, meanwhile)

    def failure(self) -> str | None:
        """Why the prober is dead, or None while it is alive."""
        return self._running.failure()

    def streams(self, origin: float) -> list[ProbeStream]:
        """Everything probed so far, in seconds since a monotonic origin."""
        return [
            ProbeStream(
                name=probing.title,
                service=probing.aim.service,
                period=1 / probing.rate,
                timeout=probing.timeout,
                seen=self._running.seen(index, origin),
                dropped=self._running.dropped(index),
            )
            for index, probing in enumerate(self._probings)
        ]

    def stop(self) -> None:
        """End it; may be called again."""
        self._running.stop()


def _settings(cluster: Cluster, namespace: str, probing: Probing) -> StreamSettings:
    aim = probing.aim
    address = cluster.node_port(node_port(cluster.api, aim.service, namespace, aim.port))
    return StreamSettings(
        protocol=probing.protocol,
        host=address.host,
        port=address.port,
        period=1 / probing.rate,
        timeout=probing.timeout,
        kept=probing.connection == "kept",
        options=aim.options(),
    )
