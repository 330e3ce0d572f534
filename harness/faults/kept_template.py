"""Keeps the pod template of a Rollout while it is changed, so that undo can restore it exactly. Not a kind of fault.

The ReplicaSets of Argo Rollouts are no source for that: the API server adds its defaults to their templates, and none
to the template of a custom resource. So the template is kept in a ControllerRevision of the same namespace, the kind in
which Kubernetes' own controllers keep templates. It belongs to the Rollout, and is deleted with it.
"""

from __future__ import annotations

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import CONTROLLER_REVISIONS, ROLLOUTS, Resource
from harness.common.errors import ApiError
from harness.faults.revisions import Revision, keeper_of, revision_in


def keeps(of: str) -> bool:
    """Return whether the harness itself must keep the template of a workload ``kind/name``."""
    return of.startswith(f"{ROLLOUTS.kind.lower()}/")


def place_of(of: str) -> Resource:
    """Return the resource from whose objects undo restores the template of a workload."""
    return CONTROLLER_REVISIONS if keeps(of) else keeper_of(of)


def permissions(of: str) -> frozenset[Permission]:
    """Return the permissions for keeping the template of a workload."""
    return allow(CONTROLLER_REVISIONS, "create", "get", "delete") if keeps(of) else frozenset()


def name_of(of: str, mark: str) -> str:
    """Return the name of the object that keeps the template for the change with this mark."""
    return f"{of.partition('/')[2]}-before-{mark}"


def keep(api: KubeApi, workload: Object, current: Revision, mark: str) -> Revision:
    """Return what undo restores the template from, made if needed. Raises ApiError."""
    metadata = workload["metadata"]
    of = f"{workload['kind'].lower()}/{metadata['name']}"
    if not keeps(of):
        return current
    owner = {"apiVersion": workload["apiVersion"], "kind": workload["kind"]}
    owner |= {key: metadata[key] for key in ("name", "uid")}
    body = {
        "apiVersion": CONTROLLER_REVISIONS.group_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {"name": name_of(of, mark), "ownerReferences": [owner]},
        "revision": current.number,
        "data": {"spec": {"template": workload["spec"]["template"]}},
    }
    return revision_in({**body, **api.create(CONTROLLER_REVISIONS, body, metadata["namespace"])})


def forget(api: KubeApi, of: str, namespace: str, name: str) -> None:
    """Delete the object that keeps a template, if the harness made it and it is still there. Raises ApiError."""
    if not keeps(of):
        return
    try:
        api.delete(CONTROLLER_REVISIONS, name, namespace)
    except ApiError as error:
        if not error.not_found:
            raise
