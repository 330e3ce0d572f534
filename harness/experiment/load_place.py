"""Decide where the load of an experiment is generated: on this machine, or by pods in the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from harness.experiment.declaration import Experiment
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
    if is_generated_here(load):
        return "machine"
    wanted = option if option != "auto" else load.from_
    if wanted != "auto":
        return wanted
    return "machine" if dialable and not unreachable(load.target, workload) else "cluster"


def one_place(experiment: Experiment, place_of: Callable[[Load], Place]) -> Place | None:
    """Return the cluster if any of the experiment's loads is generated there, else this machine; None without a load.

    ``place_of`` returns the place of one of them."""
    places = {place_of(load) for load in experiment.every_load.values()}
    return ("cluster" if "cluster" in places else "machine") if places else None


def is_generated_here(load: Load) -> bool:
    """Return whether a load is generated on this machine wherever others are: see ``load_place``."""
    return bool(load.locustfile) or load.target.kind == "url"
