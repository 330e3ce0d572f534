"""What rolling out a version has in common, be it good or bad: an image, or a patch. Not a kind of fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from pydantic import Field, model_validator

from harness.cluster.kube.client import Object
from harness.common.errors import Inconclusive
from harness.faults.base import FaultContext
from harness.faults.needs import Need, WorkloadManifests, container_exists
from harness.faults.revisions import Revision
from harness.faults.template_change import TemplateChange


class NewVersion(TemplateChange):
    """Rolls out an image or a patched pod template."""

    image: str | None = Field(default=None, min_length=1, description="image to roll out, such as does-not:exist")
    container: str | None = Field(
        default=None, description="container whose image is changed; required when the pods have several"
    )
    patch: dict[str, Any] | None = Field(
        default=None, min_length=1, description="strategic merge patch of the pod template, instead of an image"
    )

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if (self.image is None) == (self.patch is None):
            found = "neither" if self.image is None else "both"
            raise ValueError(f"found {found} of image and patch, expected exactly one")
        if self.container is not None and self.image is None:
            raise ValueError("found container without image: it names the container whose image is changed")
        return self

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield a workload that is not there, and a container that its pods do not have."""
        yield from super().needs_of(workload)
        yield from container_exists(self.container, workload.of(self.of), workload)

    def check_workload(self, workload: Object) -> None:
        if self.image is not None:
            self._container_of(workload)

    def template_patch(self, context: FaultContext, workload: Object, known: list[Revision]) -> Object:
        del context, known
        if self.patch is not None:
            return self.patch
        return {"spec": {"containers": [{"name": self._container_of(workload), "image": self.image}]}}

    def _container_of(self, workload: Object) -> str:
        names = [str(container["name"]) for container in workload["spec"]["template"]["spec"]["containers"]]
        if self.container is None and len(names) == 1:
            return names[0]
        if self.container not in names:
            problem = f"no container {self.container}" if self.container else "several containers, set `container`"
            raise Inconclusive(f"{self.of} has {problem}: {', '.join(names)}")
        return self.container
