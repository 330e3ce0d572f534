"""A shop with a database on a fake cluster, for the tests of snapshot probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.transport import ExecResult
from harness.common.clock import FakeClock
from harness.model.timeline import Observation, Timeline
from harness.probes.base import ProbeContext, SnapshotProbe

SEARCH = "search shop.svc.cluster.local svc.cluster.local cluster.local\n"


class Stand:
    """A StatefulSet of two. ``dns`` is what its pods are told in the end, ``later`` what before that; ``outputs`` what
    commands print, by pod, ``hostnames`` what ``hostname`` does, by default the pod's name."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock)
        self.timeline = Timeline(self.clock.monotonic(), self.clock.wall())
        self.context = ProbeContext(self.cluster, "shop", self.timeline, self.clock)
        self.dns: dict[str, str] = {"db-0": "198.18.1.1", "db-1": "198.18.1.2"}
        self.later: dict[str, list[str]] = {}
        self.outputs: dict[str, ExecResult] = {}
        self.hostnames: dict[str, ExecResult] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.cluster.server.exec = self._exec
        spec = {"replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}}
        self.uid = self.seed("apps/v1", "StatefulSet", "db", spec=spec)["metadata"]["uid"]
        for ordinal in (0, 1):
            self.seed("v1", "PersistentVolumeClaim", f"data-db-{ordinal}", spec={"volumeName": f"pv-{ordinal}"})
            self.pod(f"db-{ordinal}", f"198.18.1.{ordinal + 1}")

    def seed(self, version: str, kind: str, name: str, **rest: Any) -> dict[str, Any]:
        item = {"apiVersion": version, "kind": kind, "metadata": {"name": name, **rest.pop("metadata", {})}, **rest}
        (seeded,) = self.cluster.server.seed(item, namespace="shop")
        return seeded

    def pod(self, name: str, ip: str, *, ready: bool = True, owner: str | None = None) -> None:
        references = [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": owner or self.uid}]
        volumes = [
            {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{name}"}},
            {"name": "token", "projected": {}},
        ]
        self.seed(
            "v1",
            "Pod",
            name,
            metadata={"labels": {"app": "db"}, "ownerReferences": references},
            spec={"containers": [{"name": "main"}, {"name": "proxy"}], "volumes": volumes},
            status={"podIP": ip, "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
        )

    def look(self, probe: SnapshotProbe) -> list[Observation]:
        before = len(list(self.timeline))
        probe.look(self.context)
        return list(self.timeline)[before:]

    def _exec(self, namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
        assert namespace == "shop"
        if command[0] == "cat":
            return ExecResult(SEARCH, "", 0)
        if command[0] == "hostname":
            return self.hostnames.get(pod, ExecResult(f"{pod}\n", "", 0))
        self.asked.append((pod, container))
        if command[0] != "nslookup":
            return self.outputs[pod]
        head = "Server:\t\t198.19.0.10\nAddress:\t198.19.0.10:53\n\n"
        name = command[1].partition(".")[0]
        address = self.later[name].pop(0) if self.later.get(name) else self.dns.get(name)
        if address == "SERVFAIL":
            return ExecResult(f"{head}** server can't find {command[1]}: SERVFAIL\n", "", 1)
        if address is None:
            return ExecResult(f"{head}** server can't find {command[1]}: NXDOMAIN\n", "", 1)
        return ExecResult(f"{head}Name:\t{command[1]}\nAddress: {address}\n", "", 0)
