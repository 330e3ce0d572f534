"""Ownership of a cluster: owned (the harness made it, so it has no other users) or foreign (all others).

Determined once, when a session connects, and kept in ``Cluster.ownership``: the guard's defaults, what may be
installed, the check for leftovers and the access to Prometheus depend on it. The context's name and the provider do not
decide it: a kind cluster may have other users like any cluster.
"""

from __future__ import annotations

from enum import StrEnum

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import NODES
from harness.common.errors import ApiError

# The label is on a node from its creation. Not in a Kubernetes domain: the kubelet may not set those on its own node.
MADE_BY = {"resilience.harness/made-by": "resilience-harness"}


class Ownership(StrEnum):
    """Whether the harness made the cluster."""

    OWNED = "owned"
    FOREIGN = "foreign"


def ownership_by_label(api: KubeApi) -> Ownership:
    """Return OWNED if a node has the label that the harness sets in its clusters, else FOREIGN. Raises ApiError.

    FOREIGN also if there is no permission to list nodes.
    """
    try:
        nodes = api.list(NODES).items
    except ApiError as error:
        if error.status == 403:
            return Ownership.FOREIGN
        raise
    made = any(MADE_BY.items() <= (node["metadata"].get("labels") or {}).items() for node in nodes)
    return Ownership.OWNED if made else Ownership.FOREIGN
