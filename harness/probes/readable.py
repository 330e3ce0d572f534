"""Readable: the keys that can be read back from a store, by a command in one of its pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.kube.resources import PODS
from harness.common.errors import ApiError
from harness.common.labels import parse_selector
from harness.model.quantities import Duration
from harness.model.timeline import Observation
from harness.probes.base import ProbeContext, SnapshotProbe
from harness.probes.conditions import is_serving

SERIES = "readable"


def _selector(text: str) -> str:
    if not parse_selector(text).requirements:
        raise ValueError("found an empty selector, expected labels such as app=etcd")
    return text


class Readable(SnapshotProbe, BaseModel):
    """Read the keys of a store with a command in one of its pods.

    The command must read like a client (with a quorum read, not a member's local data), since the result of the first
    pod where it succeeds is used. Ready pods are tried first, then the others. With ``everyPod`` all pods are read,
    since their keys differ, and one that fails makes the whole an error. Series ``readable``, subject ``<selector>``:
    {"keys": [every line that the command printed, sorted], "pod"}, with ``everyPod`` without "pod".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    kind: ClassVar[str] = "readable"
    example: ClassVar[Mapping[str, Any]] = {"selector": "app=db", "command": ["list-keys"]}

    selector: Annotated[str, AfterValidator(_selector)] = Field(
        description="label selector of the store's pods, such as app=etcd"
    )
    command: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="command with its arguments that prints one key per line"
    )
    container: str | None = Field(
        default=None, description="container to run the command in; by default the pod's first"
    )
    strip: str = Field(default="", description="prefix to remove from the lines that have it")
    timeout: Duration = Field(default=30.0, description="how long the command may take in one pod, such as 30s")
    every_pod: bool = Field(default=False, strict=True, description="whether to read all pods, since their keys differ")

    @property
    def permissions(self) -> frozenset[Permission]:
        return allow(PODS, "list") | allow(PODS, *EXEC_VERBS, part="exec")

    def look(self, context: ProbeContext) -> None:
        api, failures = context.cluster.api, list[str]()
        try:
            candidates = sorted(api.list(PODS, context.namespace, self.selector).items, key=is_serving, reverse=True)
        except ApiError as error:
            candidates, failures = [], [str(error)]
        read: dict[str, list[str]] = {}
        for candidate in candidates:
            pod = candidate["metadata"]["name"]
            try:
                read[pod] = self._read(api, candidate)
            except ApiError as error:
                failures.append(f"{pod}: {error}")
            if read and not self.every_pod:
                break
        at = context.timeline.offset(context.clock.monotonic())
        if not read or (self.every_pod and failures):
            error_text = "; ".join(failures) or "no pod matches"
            context.timeline.add(Observation(SERIES, self.selector, at, error=error_text))
            return
        value: dict[str, object] = {"keys": sorted({key for keys in read.values() for key in keys})}
        if not self.every_pod:
            value["pod"] = next(iter(read))
        context.timeline.add(Observation(SERIES, self.selector, at, value))

    def _read(self, api: KubeApi, pod: Object) -> list[str]:
        meta = pod["metadata"]
        container = self.container or pod["spec"]["containers"][0]["name"]
        result = api.exec(meta["namespace"], meta["name"], self.command, container, self.timeout)
        if result.exit_code:
            last_line = (result.stderr or result.stdout).strip().splitlines()[-1:]
            # As an ApiError, so that the next pod is tried as after a failed exec.
            raise ApiError(0, "CommandFailed", f"exit code {result.exit_code}: {' '.join(last_line)[:300]}")
        lines = (line.strip() for line in result.stdout.splitlines())
        return sorted({line.removeprefix(self.strip) for line in lines if line})
