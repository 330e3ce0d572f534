"""Jobs of a workload: a run waits until they are complete, since other parts may need their result."""

from __future__ import annotations

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.objects import reference
from harness.cluster.kube.permissions import resource_of
from harness.common.errors import Inconclusive
from harness.common.shapes import mapping

# On a Job that does not end, such as a load generator: the run does not wait for it.
WAIT_ANNOTATION = "resilience.harness/wait"


def is_awaited(item: Object) -> bool:
    """Return whether a run waits for an object as a Job: not if it is suspended or annotated."""
    if item["kind"] != "Job" or not str(item["apiVersion"]).startswith("batch/"):
        return False
    annotations = mapping(item["metadata"].get("annotations"))
    return mapping(item.get("spec")).get("suspend") is not True and annotations.get(WAIT_ANNOTATION) != "false"


def why_incomplete(api: KubeApi, job: Object, namespace: str) -> str | None:
    """Return why a Job is not complete, or None if it is. Raises Inconclusive if it has failed."""
    found = api.find(resource_of(job["apiVersion"], job["kind"]), job["metadata"]["name"], namespace)
    if found is None:
        # A finished Job with this field is deleted by its controller.
        gone = mapping(job.get("spec")).get("ttlSecondsAfterFinished") is not None
        return None if gone else f"{reference(job)} does not exist"
    status = mapping(found.get("status"))
    conditions = {each["type"]: each for each in status.get("conditions") or () if each.get("status") == "True"}
    if failed := conditions.get("Failed"):
        why = ": ".join(filter(None, (failed.get("reason"), failed.get("message"))))
        raise Inconclusive(f"the workload cannot become ready: {reference(job)} has failed ({why})")
    if "Complete" in conditions:
        return None
    counts = ", ".join(f"{status.get(key) or 0} {key}" for key in ("active", "succeeded", "failed"))
    hint = f'annotate it with {WAIT_ANNOTATION}: "false" if it is not supposed to end'
    return f"{reference(job)} is not complete ({counts}; {hint})"
