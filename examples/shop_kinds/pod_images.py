"""Reads which images the pods of a selector run."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from harness import PODS, ApiError, Observation, Permission, ProbeContext, Selector, SnapshotProbe, allow

SERIES = "podImages"


class PodImages(SnapshotProbe, BaseModel):
    """Series ``podImages``, subject ``<selector>``: {"images": [image ID of each container, sorted, once]}."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = "podImages"

    selector: Selector = Field(description="label selector of the pods, such as app=shop")

    @property
    def permissions(self) -> frozenset[Permission]:
        return allow(PODS, "list")

    def look(self, context: ProbeContext) -> None:
        value, error = None, None
        try:
            pods = context.cluster.api.list(PODS, context.namespace, self.selector).items
            statuses = [status for pod in pods for status in pod.get("status", {}).get("containerStatuses") or ()]
            value = {"images": sorted({status.get("imageID") or status["image"] for status in statuses})}
        except ApiError as problem:
            # What a probe cannot read is an observation with an error: it must not end the experiment.
            error = str(problem)
        at = context.timeline.offset(context.clock.monotonic())
        context.timeline.add(Observation(SERIES, self.selector, at, value, error))
