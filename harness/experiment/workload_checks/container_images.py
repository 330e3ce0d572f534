"""Find every container image that a workload or a fault names, also in kinds that are not built into Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import Object
from harness.common.documents import Place
from harness.faults.base import Fault

_CONTAINERS = frozenset({"containers", "initContainers", "ephemeralContainers"})


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image as it is written, with its place, and when the kubelet pulls it."""

    image: str
    place: Place
    policy: str = ""

    @property
    def pull_policy(self) -> str:
        """The policy that Kubernetes applies: Always for the tag ``latest`` unless another one is written."""
        name = self.image.rpartition("/")[2]
        latest = "@" not in name and name.partition(":")[2] in {"", "latest"} and "${" not in self.image
        return self.policy or ("Always" if latest else "IfNotPresent")


def named_images(value: Any, place: Place = ()) -> Iterator[NamedImage]:  # noqa: ANN401
    """Yield the images in a value: of all containers at any depth, and of image volumes.

    At any depth, since custom resources contain pod templates in other places."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from named_images(item, (*place, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            inside = (*place, str(key))
            if key in _CONTAINERS and isinstance(item, list):
                yield from _of_containers(item, inside)
            elif key == "volumes" and isinstance(item, list):
                yield from _of_volumes(item, inside)
            yield from named_images(item, inside)


def images_of_fault(fault: Fault) -> Iterator[str]:
    """Yield the images that a fault's parameters name: its own, and those in a patch of a pod template."""
    parameters = fault.model_dump(by_alias=True, exclude_unset=True)
    if isinstance(parameters.get("image"), str):
        yield parameters["image"]
    yield from (found.image for found in named_images(parameters))


def images_of_workload(objects: tuple[Object, ...]) -> Iterator[tuple[Object, NamedImage]]:
    """Yield the images of all objects of a workload, each with its object."""
    for item in objects:
        yield from ((item, found) for found in named_images(item))


def _of_containers(containers: list[Any], place: Place) -> Iterator[NamedImage]:
    for index, container in enumerate(containers):
        if isinstance(container, dict) and isinstance(container.get("image"), str) and container["image"]:
            policy = str(container.get("imagePullPolicy") or "")
            yield NamedImage(container["image"], (*place, index, "image"), policy)


def _of_volumes(volumes: list[Any], place: Place) -> Iterator[NamedImage]:
    for index, volume in enumerate(volumes):
        image = volume.get("image") if isinstance(volume, dict) else None
        if isinstance(image, dict) and isinstance(image.get("reference"), str) and image["reference"]:
            yield NamedImage(
                image["reference"], (*place, index, "image", "reference"), str(image.get("pullPolicy") or "")
            )
