"""Parts of pods that use their node: its network, ports, processes or files. No namespace separates them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.cluster.kube.client import Object
from harness.common.documents import Place
from harness.common.shapes import listed, mapping

_SPECS = (
    ("spec",),
    ("spec", "template", "spec"),
    ("spec", "jobTemplate", "spec", "template", "spec"),
)
_SHARED = {"hostNetwork": "the network", "hostPID": "the processes", "hostIPC": "the memory"}


def node_access(objects: Sequence[Object]) -> Iterator[tuple[Object, Place, str]]:
    """Yield each part of a pod that uses its node: the object, the place in it, and what was found."""
    for item in objects:
        for place, spec in _specs(item):
            yield from ((item, (*place, *inner), what) for inner, what in _of_pod(spec))


def _specs(item: Object) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for place in _SPECS:
        found: Any = item
        for key in place:
            found = mapping(found).get(key)
        if isinstance(found, dict) and isinstance(found.get("containers"), list):
            yield place, found


def _of_pod(spec: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    yield from (((key,), f"{key}, {what} of the node") for key, what in _SHARED.items() if spec.get(key) is True)
    for index, volume in enumerate(map(mapping, listed(spec.get("volumes")))):
        if path := mapping(volume.get("hostPath")).get("path"):
            yield ("volumes", index, "hostPath"), f"the hostPath {path}, files of the node"
    for key in ("initContainers", "containers"):
        for index, container in enumerate(map(mapping, listed(spec.get(key)))):
            for number, port in enumerate(map(mapping, listed(container.get("ports")))):
                # With hostNetwork every port is one of the node, and reported as such.
                if port.get("hostPort") and spec.get("hostNetwork") is not True:
                    place: Place = (key, index, "ports", number, "hostPort")
                    yield place, f"the hostPort {port['hostPort']}, a port of the node"
