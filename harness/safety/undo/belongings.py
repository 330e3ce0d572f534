"""Objects that an experiment creates for itself, and their undo: namespaces, cluster-scoped and custom objects.

Like every effect, they are written to the undo journal before they are created. They have the run's label and the claim
of their journal entry from their creation on, and no object without both is ever deleted: an object with the same name
that another user, or another experiment of this run, created is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.namespaces import request_deletion
from harness.cluster.kube.objects import reference
from harness.cluster.kube.resources import NAMESPACES, Resource
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, Inconclusive, NotYet
from harness.common.naming import CLAIM_ANNOTATION, EXPERIMENT_LABEL, MANAGED_BY, RUN_LABEL
from harness.safety.undo.entry import STAYS
from harness.safety.undo.journal import Journal, UndoAction

NAMESPACE_KIND = "namespace"
OBJECTS_KIND = "clusterObjects"


def undo_actions() -> dict[str, UndoAction]:
    """Return the undo actions of this module, by kind of journal entry."""
    return {NAMESPACE_KIND: undo_namespace, OBJECTS_KIND: undo_objects}


def claim_namespace(journal: Journal, name: str, run: str, *, stays: bool = False) -> str:
    """Journal a namespace that is about to be created, and return the claim for its annotations.

    ``stays``: the namespace is kept if the run dies.
    """
    claim = uuid4().hex
    parameters = _staying({"name": name, "run": run, "claim": claim}, stays=stays)
    journal.write(NAMESPACE_KIND, f"remove namespace {name}", parameters)
    return claim


def undo_namespace(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
    """Remove a namespace if the run created it. Raises NotYet while it still exists."""
    name = parameters["name"]
    found = cluster.api.find(NAMESPACES, name)
    if found is None:
        return f"namespace {name} is gone"
    if not is_of_run(found, parameters["run"]) or not _has_claim(found, parameters):
        return f"namespace {name} was not created by this experiment of this run: not removed"
    if "deletionTimestamp" not in found["metadata"]:
        request_deletion(cluster.api, name)
    if cluster.api.find(NAMESPACES, name) is not None:
        # The undo is called again until the deletion is complete.
        raise NotYet(f"namespace {name} is still there")
    return f"namespace {name} was removed"


def without_namespace(api: KubeApi, objects: Sequence[Object]) -> list[Object]:
    """Return the cluster-scoped objects, according to the API server. Kinds that it does not serve are left out."""
    found = []
    for item in objects:
        try:
            if not api.discover(item["apiVersion"], item["kind"]).namespaced:
                found.append(item)
        except ApiError as error:
            if not error.not_found:
                raise
    return found


def claim_objects(
    api: KubeApi,
    journal: Journal,
    objects: Sequence[Object],
    run: str,
    experiment: str,
    *,
    stays: bool = False,
    first: Sequence[Object] = (),
) -> list[Object]:
    """Journal the cluster-scoped objects, and return all objects ready to apply, with those labelled and claimed.

    ``stays``: they are kept if the run dies. ``first`` are left to ``claim_first``. Raises Inconclusive if one of them
    already exists: it belongs to another user and would be overwritten.
    """
    cluster_wide = without_namespace(api, objects)
    taken = [reference(item) for item in cluster_wide if _find(api, _name_of(item)) is not None]
    if taken:
        raise Inconclusive(
            f"the workload would overwrite existing cluster-scoped objects: {', '.join(taken)}; they belong to another "
            "experiment or to the cluster"
        )
    own = [item for item in cluster_wide if not any(item is one for one in first)]
    names = [{**_name_of(item), "namespace": ""} for item in own]
    return _claimed(journal, own, names, objects, _labels(run, experiment), stays=stays)


def claim_first(
    journal: Journal,
    objects: Sequence[Object],
    first: Sequence[Object],
    run: str,
    experiment: str,
    *,
    stays: bool = False,
) -> list[Object]:
    """Journal objects that are removed before the namespaces, and return all objects with those labelled and claimed.

    ``first`` are those: webhooks, whose pods are in the namespaces, and custom resources, whose finalizers are removed
    by pods there. Those without ``metadata.namespace`` are cluster-scoped. Call it after the namespaces are journalled,
    since entries are undone in reverse order.
    """
    return _claimed(journal, first, [*map(_name_of, first)], objects, _labels(run, experiment), stays=stays)


def undo_objects(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
    """Delete objects if the run created them. Raises NotYet while one of them still exists.

    Entries of earlier versions have no namespaces, since their objects were all cluster-scoped.
    """
    left: list[str] = []
    # In reverse order of creation, so that custom resources are deleted before their definition.
    for name in reversed(parameters["objects"]):
        found = _find(cluster.api, name)
        if found is None or not is_of_run(found, parameters["run"]) or not _has_claim(found, parameters):
            continue
        if "deletionTimestamp" not in found["metadata"]:
            resource = cluster.api.discover(name["apiVersion"], name["kind"])
            cluster.api.delete(resource, name["name"], name.get("namespace") or None, uid=found["metadata"]["uid"])
        if (now := _find(cluster.api, name)) is not None:
            held = ", ".join(now["metadata"].get("finalizers") or ())
            left.append(f"{name['kind']}/{name['name']}" + (f" (finalizers: {held})" if held else ""))
    if left:
        raise NotYet(f"still there: {', '.join(left)}")
    return f"{len(parameters['objects'])} objects are gone"


def is_of_run(item: Object, run: str) -> bool:
    """Return whether the harness created an object for this run."""
    labels = item["metadata"].get("labels") or {}
    return labels.get(RUN_LABEL) == run and MANAGED_BY.items() <= labels.items()


def _staying(parameters: dict[str, Any], *, stays: bool) -> dict[str, Any]:
    return {**parameters, **({STAYS: True} if stays else {})}


def _has_claim(item: Object, parameters: Mapping[str, Any]) -> bool:
    # Entries of earlier versions have no claim, nor do those that a sweep makes for a dead run's labelled namespaces.
    claim = parameters.get("claim")
    return claim is None or (item["metadata"].get("annotations") or {}).get(CLAIM_ANNOTATION) == claim


def _claimed(
    journal: Journal,
    own: Sequence[Object],
    names: Sequence[Mapping[str, str]],
    objects: Sequence[Object],
    labels: Mapping[str, str],
    *,
    stays: bool,
) -> list[Object]:
    """Journal the ``own`` objects by their ``names``, and return all objects with those labelled and claimed."""
    if not own:
        return list(objects)
    claim = uuid4().hex
    parameters = _staying({"run": labels[RUN_LABEL], "objects": [*map(dict, names)], "claim": claim}, stays=stays)
    journal.write(OBJECTS_KIND, f"remove {', '.join(map(reference, own))}", parameters)
    return [_marked(item, labels, claim) if any(item is one for one in own) else item for item in objects]


def _labels(run: str, experiment: str) -> dict[str, str]:
    return {**MANAGED_BY, RUN_LABEL: run, EXPERIMENT_LABEL: experiment}


def _name_of(item: Object) -> dict[str, str]:
    metadata = item["metadata"]
    named = {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": metadata["name"]}
    return {**named, "namespace": metadata.get("namespace", "")}


def _find(api: KubeApi, name: Mapping[str, str]) -> Object | None:
    try:
        resource: Resource = api.discover(name["apiVersion"], name["kind"])
        return api.find(resource, name["name"], name.get("namespace") or None)
    except ApiError as error:
        # No object can exist of a kind whose definition is gone.
        if error.not_found:
            return None
        raise


def _marked(item: Object, labels: Mapping[str, str], claim: str) -> Object:
    metadata = item["metadata"]
    annotations = {**(metadata.get("annotations") or {}), CLAIM_ANNOTATION: claim}
    labelled = {**(metadata.get("labels") or {}), **labels}
    return {**item, "metadata": {**metadata, "labels": labelled, "annotations": annotations}}
