"""What an experiment makes in a cluster for itself, and how that is taken away from data: its namespace, and the
objects of its workload that belong to no namespace.

They stand in the undo journal before they are made, like every effect. They carry the run's label from the moment they
exist, and nothing without it is ever deleted: what somebody else made under the same name is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.arrange import ask_to_go
from harness.cluster.api import KubeApi, Object
from harness.cluster.protocol import Cluster
from harness.cluster.resources import NAMESPACES, Resource
from harness.errors import ApiError, Inconclusive, NotYet
from harness.manifests import reference
from harness.naming import EXPERIMENT_LABEL, MANAGED_BY, RUN_LABEL
from harness.undo import Journal, UndoAction

NAMESPACE_KIND = "namespace"
OBJECTS_KIND = "clusterObjects"


def undo_actions() -> dict[str, UndoAction]:
    """How to take back the journal entries of this module."""
    return {NAMESPACE_KIND: undo_namespace, OBJECTS_KIND: undo_objects}


def claim_namespace(journal: Journal, name: str, run: str) -> None:
    """Journal a namespace that is about to be made."""
    journal.write(NAMESPACE_KIND, f"remove namespace {name}", {"name": name, "run": run})


def undo_namespace(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
    """Remove a namespace, if it is the one that the run made."""
    name = parameters["name"]
    found = cluster.api.find(NAMESPACES, name)
    if found is None:
        return f"namespace {name} is gone"
    if not is_of_run(found, parameters["run"]):
        return f"namespace {name} is not of this run: left alone"
    if "deletionTimestamp" not in found["metadata"]:
        ask_to_go(cluster.api, name)
    if cluster.api.find(NAMESPACES, name) is not None:
        raise NotYet(f"namespace {name} is still there")
    return f"namespace {name} was removed"


def without_namespace(api: KubeApi, objects: Sequence[Object]) -> list[Object]:
    """Those objects that belong to no namespace, as the cluster sees it. Kinds it does not know are left out."""
    found = []
    for item in objects:
        try:
            if not api.discover(item["apiVersion"], item["kind"]).namespaced:
                found.append(item)
        except ApiError as error:
            if not error.not_found:
                raise
    return found


def claim_objects(api: KubeApi, journal: Journal, objects: Sequence[Object], run: str, experiment: str) -> list[Object]:
    """The objects as they may be applied: those without a namespace journalled, and labelled with run and experiment.

    Raises Inconclusive when one of these is there already: it is somebody else's, and would be overwritten.
    """
    ours = without_namespace(api, objects)
    taken = [reference(item) for item in ours if _find(api, _name_of(item)) is not None]
    if taken:
        raise Inconclusive(f"the workload would overwrite what the cluster has already: {', '.join(taken)}")
    if ours:
        names = ", ".join(map(reference, ours))
        parameters = {"run": run, "objects": [_name_of(item) for item in ours]}
        journal.write(OBJECTS_KIND, f"remove {names}", parameters)
    labels = {**MANAGED_BY, RUN_LABEL: run, EXPERIMENT_LABEL: experiment}
    return [_labelled(item, labels) if any(item is one for one in ours) else item for item in objects]


def undo_objects(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
    """Delete objects without a namespace, if they are those that the run made."""
    left: list[str] = []
    # Last made, first removed: what uses a definition goes before the definition.
    for name in reversed(parameters["objects"]):
        found = _find(cluster.api, name)
        if found is None or not is_of_run(found, parameters["run"]):
            continue
        if "deletionTimestamp" not in found["metadata"]:
            resource = cluster.api.discover(name["apiVersion"], name["kind"])
            cluster.api.delete(resource, name["name"], uid=found["metadata"]["uid"])
        if _find(cluster.api, name) is not None:
            left.append(f"{name['kind']}/{name['name']}")
    if left:
        raise NotYet(f"still there: {', '.join(left)}")
    return f"{len(parameters['objects'])} objects without a namespace are gone"


def is_of_run(item: Object, run: str) -> bool:
    """Whether the harness made an object for this run."""
    labels = item["metadata"].get("labels") or {}
    return labels.get(RUN_LABEL) == run and MANAGED_BY.items() <= labels.items()


def _name_of(item: Object) -> dict[str, str]:
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": item["metadata"]["name"]}


def _find(api: KubeApi, name: Mapping[str, str]) -> Object | None:
    try:
        resource: Resource = api.discover(name["apiVersion"], name["kind"])
        return api.find(resource, name["name"])
    except ApiError as error:
        # A kind whose definition has gone has no objects.
        if error.not_found:
            return None
        raise


def _labelled(item: Object, labels: Mapping[str, str]) -> Object:
    metadata = item["metadata"]
    return {**item, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}}
