"""Command lines for messages: pasted into a shell, they use the same cluster."""

from __future__ import annotations

import shlex
from pathlib import Path

from harness.cluster.protocol import Cluster

# The values of --cluster that are not the name of a context.
SELECTIONS = ("auto", "local", "kind", "current")


def cluster_arguments(context: str, kubeconfig: Path | None) -> list[str]:
    """Return the options that select the cluster of a context, whatever the current context is at that time."""
    named = ["--cluster=current", f"--cluster-context={context}"] if context in SELECTIONS else [f"--cluster={context}"]
    return [*named, *([f"--kubeconfig={kubeconfig.absolute()}"] if kubeconfig else [])]


def command_for(cluster: Cluster, *words: str) -> str:
    """Return a ``harness`` command line for this cluster, quoted for a shell."""
    # A local cluster needs no --kubeconfig: its kubeconfig is in the harness's state folder.
    kubeconfig = None if cluster.provider == "local" else cluster.kubeconfig
    return shlex.join(["harness", *words, *cluster_arguments(cluster.context, kubeconfig)])
