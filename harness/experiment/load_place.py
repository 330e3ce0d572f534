"""Decide where the load of an experiment is generated: on this machine, or by pods in the cluster."""

from __future__ import annotations

from typing import Literal

from harness.experiment.load import Load
from harness.experiment.manifests import Workload
from harness.experiment.target_checks import unreachable

Place = Literal["machine", "cluster"]
LoadFrom = Literal["auto", "machine", "cluster"]


def load_place(load: Load, workload: Workload, option: LoadFrom = "auto", *, dialable: bool = True) -> Place:
    """Return where to generate a load. ``option`` takes precedence over the experiment, unless it is ``auto``.

    With ``auto`` it is this machine, if it can reach the target as far as the manifests show. ``dialable`` is whether
    this machine can dial the nodePorts of the cluster. A locustfile always runs here, where its own packages are, as
    does the load to a URL, which is outside of the cluster.
    """
    if load.locustfile or load.target.kind == "url":
        return "machine"
    wanted = option if option != "auto" else load.from_
    if wanted != "auto":
        return wanted
    return "machine" if dialable and not unreachable(load.target, workload) else "cluster"
