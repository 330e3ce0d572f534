"""What a fault needs of the workload, checked against its manifests before there is a cluster.

``Fault.needs_of`` uses these checks for ``harness validate``. Each reports only what is certain from the manifests:
labels may be added while pods run, and custom resources may create pods that no manifest describes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.documents import Place
from harness.common.suggestions import did_you_mean

# A problem: the place in the fault's parameters, such as ("container",), and what is wrong there.
Need = tuple[Place, str]


class PodTemplate(Protocol):
    """Pods that an object of the workload creates, or a Pod."""

    @property
    def item(self) -> Object:
        """The object: a Deployment, a Pod and so on."""
        ...

    @property
    def spec(self) -> Mapping[str, Any]:
        """The pods' spec."""
        ...

    @property
    def serving(self) -> Iterator[Mapping[str, Any]]:
        """The containers that run as long as the pod, sidecars included."""
        ...

    @property
    def initial(self) -> Iterator[Mapping[str, Any]]:
        """The init containers that end before the other containers start, so no sidecars."""
        ...


class WorkloadManifests(Protocol):
    """The manifests of a workload."""

    def names(self) -> Sequence[str]:
        """Return every object as ``kind/name``."""
        ...

    def selected(self, selector: str) -> Sequence[PodTemplate]:
        """Return the templates whose pods may match a label selector."""
        ...

    def of(self, name: str) -> Sequence[PodTemplate]:
        """Return the templates of the object named ``kind/name``."""
        ...

    @property
    def makes_unknown_pods(self) -> bool:
        """Whether custom resources may create pods that no template describes."""
        ...


def selector_matches(field: str, selector: str, workload: WorkloadManifests) -> Iterator[Need]:
    """Check that some pod of the workload may match a selector."""
    if not workload.makes_unknown_pods and not workload.selected(selector):
        yield (field,), f"found {selector!r}, but no pod of the workload has such labels"


def workload_exists(field: str, name: str, workload: WorkloadManifests) -> Iterator[Need]:
    """Check that the workload has the object named ``kind/name``."""
    known = workload.names()
    if name not in known:
        yield (field,), f"found {name}, but the workload has only {', '.join(known)}{_hint(name, known)}"


def container_exists(
    container: str | None, pods: Sequence[PodTemplate], workload: WorkloadManifests, initial: bool = False
) -> Iterator[Need]:
    """Check that every one of these pods has the container, if one is named; ``initial``: also an init container."""
    if container is None or workload.makes_unknown_pods:
        return
    for pod in pods:
        names = [str(found.get("name")) for found in (*pod.serving, *(pod.initial if initial else ()))]
        if container not in names:
            known = f"expected one of {', '.join(names)} of {reference(pod.item)}"
            yield ("container",), f"found {container!r}, {known}{_hint(container, names)}"


def _hint(found: str, known: Sequence[str]) -> str:
    near = did_you_mean(found, known)
    return f"; did you mean {near}?" if near else ""
