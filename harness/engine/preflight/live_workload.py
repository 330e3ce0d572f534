"""Read the live workload of an experiment from the connected cluster, and make the checks that its file still needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import allow, denied, within
from harness.cluster.kube.resources import DAEMON_SETS, DEPLOYMENTS, NAMESPACES, SERVICES, STATEFUL_SETS
from harness.common.errors import CapabilityMissing, InputError, Problem
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.live import kinds
from harness.experiment.live.copying import copy_of, missing_secrets, secret_refusals
from harness.experiment.live.selection import selected
from harness.experiment.live.workload import LiveWorkload
from harness.experiment.manifests import Workload
from harness.experiment.workload_checks.pods import pod_sources

# A workload in place is complete enough with these; a copy needs all kinds.
_IN_PLACE = frozenset().union(*(allow(each, "list") for each in (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, SERVICES)))
_IN_PLACE |= allow(NAMESPACES, "get", place="cluster")


def read_workload(run: Run, experiment: Experiment) -> Experiment:
    """Return the experiment with the objects of its live workload; any other experiment unchanged. Only reads.

    Raises InputError with all problems, CapabilityMissing without the permissions to read the objects, ApiError.
    """
    live = experiment.live
    if live is None or not experiment.unread:
        return experiment
    namespace, api = live.selection.namespace, run.cluster.api
    needed = within(kinds.PERMISSIONS if live.copied else _IN_PLACE, namespace)
    lacking = denied(api, needed, namespace, run.granted)
    if lacking:
        raise CapabilityMissing("; ".join(f"permission denied: {permission}" for permission in lacking))
    place = api.find(NAMESPACES, namespace)
    if place is None:
        raise InputError([live.problem(f"found namespace {namespace}, but the cluster has no such namespace")])
    found = kinds.read_namespace(api, namespace)
    objects = selected(found.objects, live.selection.selector)
    if not pod_sources(objects):
        matching = f" that match {live.selection.selector}" if live.selection.selector else ""
        raise InputError(
            [live.problem(f"found no workloads in namespace {namespace}{matching}, expected at least one")]
        )
    workload, problems = _copy(run, live, place, objects) if live.copied else _in_place(live, objects)
    problems += live.check(workload)
    if problems:
        raise InputError(problems)
    unseen = [f"not read from namespace {namespace}, list permission denied: {', '.join(found.denied)}"]
    remarks = (*workload.remarks, *(unseen if found.denied else ()))
    return experiment.with_objects(replace(workload, remarks=remarks, origin=experiment.workload.origin))


def _in_place(live: LiveWorkload, objects: Sequence[Object]) -> tuple[Workload, list[Problem]]:
    return Workload(Path(str(live.source)), tuple(map(_plain, objects)), ()), []


def _copy(run: Run, live: LiveWorkload, namespace: Object, objects: Sequence[Object]) -> tuple[Workload, list[Problem]]:
    selection = live.copied
    assert selection is not None
    refused = secret_refusals(objects, selection, run.policy)
    refused = refused or missing_secrets(run.cluster.api, selection)
    copy = copy_of(objects, selection, namespace)
    return Workload(Path(str(live.source)), copy.objects, (), remarks=copy.notes), [*map(live.problem, refused)]


def _plain(item: Object) -> Object:
    # Without its identity: the checks deploy the objects to a model, in another namespace.
    metadata = {key: item["metadata"][key] for key in ("name", "labels", "annotations") if key in item["metadata"]}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}
