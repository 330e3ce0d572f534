"""A fake cluster in which Jobs get pods with agents, whose load processes only pretend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.port_forward import PodStream
from harness.cluster.kube.resources import JOBS, PODS
from harness.common.errors import ApiError
from harness.traffic.load.plan import Settings
from harness.traffic.load.remote.agent import Agent
from harness.traffic.load.wire import STOPPED, Request, Stop, parse_command, record_line
from tests.unit.traffic.load.remote.streams import AgentStream

TOTAL, CHECKSUM = 6, 99
# Later than anything that the fake clock shows, so that no process counts as frozen.
NOW = 5000.0


class JobController:
    """Creates the pods of a Job, numbered, and never replaces one."""

    def react(self, store: Store, change: Change) -> None:
        if change.resource != JOBS or change.before is not None or change.type == "DELETED":
            return
        spec, name = change.object["spec"], change.object["metadata"]["name"]
        for number in reversed(range(spec["parallelism"])):
            template = spec["template"]
            metadata = {
                "name": f"{name}-{number}-x",
                "labels": template["metadata"]["labels"],
                "annotations": {"batch.kubernetes.io/job-completion-index": str(number)},
            }
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
            store.create(PODS, change.namespace, pod)


class PretendedProcess:
    """Writes the records of three requests for each of two workers, and ends when it is told to."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.environ: Mapping[str, str] = {}
        self.folder = Path()
        self.commands: list[bytes] = []
        self.code: int | None = None

    def start(self, settings: Settings, folder: Path, environ: Mapping[str, str]) -> Any:  # a Child for the agent
        self.settings, self.folder, self.environ = settings, folder, environ
        self._write(record_line("ready", NOW, 9646))
        return self

    def exit_code(self) -> int | None:
        return self.code

    def progress(self, line: bytes) -> None:
        self.commands.append(line)
        command = parse_command(line)
        assert self.settings is not None
        if isinstance(command, Stop):
            own = range(self.settings.worker, TOTAL, self.settings.workers)
            for number in own:
                self._write(Request(number, number, number + 0.5, "ok", "GET /", str(number)).line())
            self._write(record_line("count", NOW, len(own), 0))
            self._write(record_line("end", NOW, STOPPED, TOTAL, CHECKSUM))
            self.code = 0

    def end(self, grace: float, farewell: bytes = b"") -> None:
        self.code = -15 if self.code is None else self.code

    def _write(self, data: bytes) -> None:
        with (self.folder / "records.jsonl").open("ab") as stream:
            stream.write(data)


class Agents:
    """The agents by pod; ``install`` connects the cluster's port forwarding to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, PretendedProcess] = {}
        self._agents: dict[str, Agent] = {}

    def install(self, cluster: FakeCluster) -> None:
        cluster.server.store.reactors.append(JobController())
        cluster.server.forward = self.forward

    def forward(self, namespace: str, pod: str, port: int) -> PodStream:
        assert port == 9645
        if pod not in self._agents:
            folder = self.folder / namespace / pod
            folder.mkdir(parents=True)
            self.processes[pod] = PretendedProcess()
            self._agents[pod] = Agent(folder, self.processes[pod].start)
        return AgentStream(self._agents[pod])


def refusing(_namespace: str, pod: str, _port: int) -> PodStream:
    raise ApiError(0, "ConnectionFailed", f"no agent in {pod}")
