"""Deploy the workload of an experiment to the namespaces of all its arms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.namespaces import is_whole
from harness.common.errors import ApiError
from harness.engine.steps.arm import Arm
from harness.engine.steps.deploy import READY_TIME
from harness.engine.steps.ready_time import ready_time
from harness.engine.steps.site import Site
from harness.experiment.declaration import Experiment


def deploy_arms(
    site: Site, arms: Sequence[Arm], experiment: Experiment, objects: Sequence[Object], progress: Callable[[str], None]
) -> None:
    """Create the namespaces, apply the objects and wait until they are ready. Everything is journalled before.

    ``arms`` are empty at the beginning. Raises Inconclusive."""
    for arm in arms:
        arm.isolate(experiment, objects)
    for note in arms[0].isolated.notes():
        progress(note)
    site.take_snapshot([name for arm in arms for name in (*arm.namespaces, arm.load_namespace)])
    site.clean_up.callback(lambda: site.close([name for arm in arms for name in arm.made], progress))
    marked = site.claim_objects(objects)
    for arm in arms:
        arm.isolate(experiment, marked)
        for own in arm.isolated.namespaces:
            site.make_namespace(own.name, partial(arm.make, own))
        arm.objects = site.claim_first(arm.objects, arm.namespace)
        arm.apply()
    allowed = ready_time(experiment, objects)
    if allowed != READY_TIME:
        progress(f"the workload may take {allowed} to become ready")
    for arm in arms:
        arm.wait_ready()
        arm.apply_late()


def lost_namespace(api: KubeApi, names: Sequence[str]) -> str | None:
    """Return why one of the namespaces is lost or could not be checked, or None."""
    for name in names:
        try:
            if not is_whole(api, name):
                return f"namespace {name} was deleted during the experiment"
        except ApiError as error:
            return f"could not check whether namespace {name} still exists: {error}"
    return None
