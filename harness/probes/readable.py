"""Readable: what can be read back from a store, by a command in one of its own pods."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.resources import PODS
from harness.errors import ApiError
from harness.labels import parse_selector
from harness.observation import Observation
from harness.probe import ProbeContext, SnapshotProbe
from harness.probes.conditions import is_serving
from harness.quantities import Duration

SERIES = "readable"


def _selector(text: str) -> str:
    if not parse_selector(text).requirements:
        raise ValueError("found an empty selector, expected labels such as app=etcd")
    return text


class Readable(SnapshotProbe, BaseModel):
    """Series ``readable``, subject ``<selector>``: {"keys": [every line that the command printed, sorted], "pod"}.

    The command must read what a client would be told (a quorum read, not one member's opinion): the probe believes the
    first pod in which it succeeds. Ready pods are asked first, then the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = "readable"

    selector: Annotated[str, AfterValidator(_selector)] = Field(description="the pods of the store, such as app=etcd")
    command: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="prints one key a line")
    container: str | None = Field(None, description="the container; by default the pod's first")
    strip: str = Field("", description="a prefix to take off every line that has it")
    timeout: Duration = 30.0

    @property
    def permissions(self) -> frozenset[Permission]:
        return allow(PODS, "list") | allow(PODS, *EXEC_VERBS, part="exec")

    def look(self, context: ProbeContext) -> None:
        api = context.cluster.api
        keys: list[str] | None = None
        pod, failures = "", list[str]()
        try:
            candidates = sorted(api.list(PODS, context.namespace, self.selector).items, key=is_serving, reverse=True)
        except ApiError as error:
            candidates, failures = [], [str(error)]
        for candidate in candidates:
            pod = candidate["metadata"]["name"]
            try:
                keys = self._read(api, candidate)
                break
            except ApiError as error:
                failures.append(f"{pod}: {error}")
        at = context.timeline.offset(context.clock.monotonic())
        if keys is None:
            error_text = "; ".join(failures) or "no pod matches"
            context.timeline.add(Observation(SERIES, self.selector, at, error=error_text))
        else:
            context.timeline.add(Observation(SERIES, self.selector, at, {"keys": keys, "pod": pod}))

    def _read(self, api: KubeApi, pod: Object) -> list[str]:
        meta = pod["metadata"]
        container = self.container or pod["spec"]["containers"][0]["name"]
        result = api.exec(meta["namespace"], meta["name"], self.command, container, self.timeout)
        if result.exit_code:
            said = (result.stderr or result.stdout).strip().splitlines()[-1:]
            raise ApiError(0, "CommandFailed", f"exit code {result.exit_code}: {' '.join(said)[:300]}")
        lines = (line.strip() for line in result.stdout.splitlines())
        return sorted({line.removeprefix(self.strip) for line in lines if line})
