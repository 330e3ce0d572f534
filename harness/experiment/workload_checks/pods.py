"""The pods that a workload will have, and what is known about their labels before they run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube import published
from harness.cluster.kube.client import Object
from harness.common.documents import Place
from harness.common.labels import Requirement, Selector
from harness.common.shapes import listed, mapping

_ANY = re.compile(r".*", re.DOTALL)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class PodSource:
    """A pod template (or a Pod) of a workload: its object, its place in the object, and the labels of its pods.

    ``added`` are the labels that a controller adds, each with a pattern of its possible values.
    """

    item: Object
    place: Place
    template: Mapping[str, Any]
    labels: Mapping[str, str]
    added: Mapping[str, re.Pattern[str]]

    @property
    def spec(self) -> Mapping[str, Any]:
        return mapping(self.template.get("spec"))

    @property
    def containers(self) -> list[tuple[Place, Mapping[str, Any]]]:
        """Every container with its place in the object, init containers first."""
        return [
            ((*self.place, "spec", key, index), container)
            for key in ("initContainers", "containers")
            for index, container in enumerate(listed(self.spec.get(key)))
            if isinstance(container, dict)
        ]

    @property
    def serving(self) -> Iterator[Mapping[str, Any]]:
        """The containers that run as long as the pod does, including sidecars among the init containers."""
        for place, container in self.containers:
            if place[-2] == "containers" or container.get("restartPolicy") == "Always":
                yield container

    @property
    def initial(self) -> Iterator[Mapping[str, Any]]:
        """The init containers that end before the other containers start, so no sidecars."""
        for place, container in self.containers:
            if place[-2] == "initContainers" and container.get("restartPolicy") != "Always":
                yield container

    def may_match(self, selector: Selector) -> bool:
        """Return whether pods of this template may match a selector: False only if they cannot.

        Labels that are not in the manifests may be added at run time, such as the role of a database member. This is
        only assumed if another requirement of the selector matches a known label.
        """
        unknown, known = [], 0
        for requirement in selector.requirements:
            if requirement.key in self.labels:
                if not requirement.matches(self.labels):
                    return False
                known += not requirement.negated
            elif requirement.key in self.added:
                if not _may_be(requirement, self.added[requirement.key]):
                    return False
                known += 1
            elif not requirement.matches(self.labels):
                if requirement.key in _CONTROLLERS_ONLY:
                    return False
                unknown.append(requirement)
        return known > 0 or not unknown


def pod_sources(objects: Sequence[Object]) -> list[PodSource]:
    """Return every pod template of Kubernetes' built-in workload kinds and of Rollouts, and every Pod."""
    return [source for item in objects for source in _sources(item)]


def makes_unknown_pods(objects: Sequence[Object]) -> bool:
    """Return whether an operator may create further pods: there are objects of kinds not built into Kubernetes."""
    return any((str(item.get("apiVersion")), str(item.get("kind"))) not in published.kinds() for item in objects)


def may_select(objects: Sequence[Object], selector: Selector) -> bool:
    """Return whether a pod of a workload may match a selector; True if that cannot be decided."""
    return makes_unknown_pods(objects) or any(source.may_match(selector) for source in pod_sources(objects))


def _sources(item: Object) -> Iterator[PodSource]:
    kind, name = str(item.get("kind")), str(mapping(item.get("metadata")).get("name"))
    spec = mapping(item.get("spec"))
    place: Place = ()
    template: Any = item if kind == "Pod" else None
    if kind in _ADDED:
        place, template = ("spec", "template"), spec.get("template")
    elif kind == "CronJob":
        place = ("spec", "jobTemplate", "spec", "template")
        template = mapping(mapping(spec.get("jobTemplate")).get("spec")).get("template")
    if isinstance(template, dict):
        labels = mapping(mapping(template.get("metadata")).get("labels"))
        yield PodSource(item, place, template, {**labels}, _added(kind, name))


# By kind, the labels whose values are known only after the controller has created the pods.
_ADDED: dict[str, tuple[str, ...]] = {
    "Deployment": ("pod-template-hash",),
    "Rollout": ("rollouts-pod-template-hash",),
    "ReplicaSet": (),
    "ReplicationController": (),
    "StatefulSet": ("controller-revision-hash",),
    "DaemonSet": ("controller-revision-hash", "pod-template-generation"),
    "Job": ("controller-uid", "batch.kubernetes.io/controller-uid"),
}
_OF_STATEFUL_SET = ("statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index")
_OF_JOB = ("job-name", "batch.kubernetes.io/job-name", "batch.kubernetes.io/job-completion-index")
# Labels that only a controller adds.
_CONTROLLERS_ONLY = frozenset((*_OF_STATEFUL_SET, *_OF_JOB, *(label for labels in _ADDED.values() for label in labels)))


def _added(kind: str, name: str) -> dict[str, re.Pattern[str]]:
    """Return the labels that the controller of a kind adds to its pods, with patterns of their values."""
    added = dict.fromkeys(_ADDED["Job" if kind == "CronJob" else kind] if kind != "Pod" else (), _ANY)
    match kind:
        case "StatefulSet":
            added |= dict(zip(_OF_STATEFUL_SET, (re.compile(rf"{re.escape(name)}-\d+"), _NUMBER), strict=True))
        case "Job" | "CronJob":
            # A CronJob appends the time to the names of its Jobs.
            own = re.compile(re.escape(name) + (r"-\d+" if kind == "CronJob" else ""))
            added |= dict(zip(_OF_JOB, (own, own, _NUMBER), strict=True))
    return added


def _may_be(requirement: Requirement, values: re.Pattern[str]) -> bool:
    """Return whether a label that exists with one of these values may meet a requirement."""
    if requirement.values is None:
        return not requirement.negated
    return requirement.negated or any(values.fullmatch(value) for value in requirement.values)
