"""Pod logs: when the containers of a workload wrote the lines that match a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.containers import container_status
from harness.cluster.kube.owners import workload_of
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import PODS
from harness.common.clock import parse_kubernetes_time
from harness.common.errors import ApiError
from harness.model.timeline import Observation
from harness.probes.base import ProbeContext, SnapshotProbe

SERIES = "logs"
# Of one container. A longer log counts as incomplete.
MOST_LINES = 100_000


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"found {text!r}, expected a regular expression: {error}") from error
    return text


class PodLogs(SnapshotProbe, BaseModel):
    """Read the logs of a workload's pods, and keep the times of the lines that match ``lines``, not their text.

    The times are those of the nodes' clocks. Of a container that was restarted only the log of the last instance before
    is kept by the node. Series ``logs``, subject ``<name>``: {"pods": {uid: {"pod", "read": number of lines, "at":
    [Unix seconds of each matching line], "complete": whether the whole log was read}}}.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = "podLogs"
    example: ClassVar[Mapping[str, Any]] = {"name": "errors", "of": "deployment/podinfo", "lines": '"level":"error"'}

    name: str = Field(min_length=1, description="name for the objective logLines")
    of: str = Field(
        description="the workload whose pods are read, such as deployment/shop",
        json_schema_extra={"pattern": r"^(deployment|statefulset|daemonset)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
        pattern=r"^(deployment|statefulset|daemonset)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    )
    lines: Annotated[str, AfterValidator(_pattern)] = Field(
        min_length=1, description="regular expression that is searched in each line"
    )
    container: str | None = Field(default=None, description="the container to read; by default the pod's first")

    @property
    def permissions(self) -> frozenset[Permission]:
        return allow(PODS, "list") | allow(PODS, "get", part="log")

    def look(self, context: ProbeContext) -> None:
        api, error, pods = context.cluster.api, None, dict[str, Any]()
        try:
            for pod in api.list(PODS, context.namespace).items:
                if workload_of(pod) == self.of:
                    pods[pod["metadata"]["uid"]] = self._read(api, pod)
        except (ApiError, ValueError) as failed:
            error = str(failed)
        at = context.timeline.offset(context.clock.monotonic())
        value = None if error else {"pods": pods}
        context.timeline.add(Observation(SERIES, self.name, at, value, error))

    def _read(self, api: KubeApi, pod: Object) -> dict[str, Any]:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        container = self.container or pod["spec"]["containers"][0]["name"]
        restarts = int(container_status(pod, container).get("restartCount", 0))
        read, times, complete = 0, list[float](), restarts <= 1
        for previous in (True, False) if restarts else (False,):
            text = api.logs(namespace, name, container, previous=previous, tail=MOST_LINES, timestamps=True)
            lines = text.splitlines()
            read += len(lines)
            complete = complete and len(lines) < MOST_LINES
            times += self._times(lines)
        return {"pod": name, "read": read, "at": times, "complete": complete}

    def _times(self, lines: list[str]) -> Iterator[float]:
        for line in lines:
            time, _, text = line.partition(" ")
            if re.search(self.lines, text):
                yield parse_kubernetes_time(time)
