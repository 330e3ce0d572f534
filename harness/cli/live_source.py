"""Read what runs in a namespace for ``harness new --workload namespace/NS``: only reads, and creates no cluster."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from harness.cli.selection import existing_cluster
from harness.cluster.kube.resources import NAMESPACES
from harness.common.errors import InputError, Problem
from harness.common.progress import Lines
from harness.experiment.live import kinds
from harness.experiment.live.copying import copy_of, secret_refusals
from harness.experiment.manifests import Workload
from harness.experiment.workload_source import CopySelection
from harness.safety.guard.policy import Policy


def read_copy(options: argparse.Namespace, namespace: str) -> tuple[Workload, list[str]]:
    """Return the copy of a namespace as a run would deploy it, and notes: what is left out, and Secrets to allow.

    Raises InputError if there is no such namespace, ClusterError, ApiError.
    """
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", namespace):
        raise _wrong(f"found namespace/{namespace}, expected the name of a namespace")
    with existing_cluster(options, Lines()) as cluster:
        if cluster.api.find(NAMESPACES, namespace) is None:
            raise _wrong(f"found namespace/{namespace}, but the cluster {cluster.context} has no such namespace")
        found = kinds.read_namespace(cluster.api, namespace)
    selection = CopySelection(namespace=namespace)
    copy = copy_of(found.objects, selection)
    if not copy.objects:
        raise _wrong(f"found no objects to copy in namespace {namespace}")
    denied = [f"not read, list permission denied: {', '.join(found.denied)}"] if found.denied else []
    notes = [*copy.notes, *denied, *secret_refusals(found.objects, selection, Policy())]
    return Workload(Path(f"namespace/{namespace}"), copy.objects, (), remarks=copy.notes), notes


def _wrong(message: str) -> InputError:
    return InputError([Problem(message, field="--workload")])
