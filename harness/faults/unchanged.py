"""Changes an object only if nobody has changed it since it was read. Not a kind of fault."""

from __future__ import annotations

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import Resource
from harness.common.errors import ApiError
from harness.common.waiting import wait_until
from harness.faults.base import FaultContext

# For how long a change is retried that conflicts with changes of the object's status, and the pause in between. It is
# short, since during a rollout the status may change several times a second, each time since the last look.
CONFLICT_SECONDS = 5.0
PAUSE_SECONDS = 0.01


def patch_unchanged(
    context: FaultContext, resource: Resource, found: Object, body: Object, *, uid: str, strategy: str = "merge"
) -> Object:
    """Patch an object as it was read in ``found`` and return it. Changes of its status in between do not matter.

    ``strategy`` is ``merge`` or ``strategic-merge``. Raises ApiError 409 if it is another object of this name or
    its spec has changed, TimedOut if its status changes too often.
    """
    at, name = found["metadata"], found["metadata"]["name"]

    def change() -> tuple[Object | None, str]:
        nonlocal at
        # The UID and the resourceVersion in a patch are preconditions for the server.
        metadata = {**body.get("metadata", {}), "uid": uid, "resourceVersion": at["resourceVersion"]}
        try:
            return context.api.patch(
                resource, name, {**body, "metadata": metadata}, context.namespace, strategy=strategy
            ), ""
        except ApiError as error:
            now = context.api.get(resource, name, context.namespace)["metadata"] if error.status == 409 else at
            # The resourceVersion also changes with the status, often in a busy cluster; the generation does not.
            if now.get("generation") != at.get("generation") or now["resourceVersion"] == at["resourceVersion"]:
                raise
            at = now
            return None, str(error)

    what = f"{found['kind'].lower()}/{name} to take the change"
    return wait_until(what, change, CONFLICT_SECONDS, context.clock, every=PAUSE_SECONDS)
