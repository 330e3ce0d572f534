"""Whether a lost pod would be replaced, by the rules of its controller.

The rules of Kubernetes' built-in controllers are implemented here; those for Jobs follow
pkg/controller/job/job_controller.go. Whether any other controller replaces a pod is unknown, so its pods are refused
as victims unless the experiment sets ``safety.unknownController: allowed``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.owners import controller_of, is_owned_by, is_static
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import (
    DAEMON_SETS,
    JOBS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Resource,
)
from harness.common.clock import parse_kubernetes_time
from harness.safety.guard.safety import ALLOW_UNKNOWN_CONTROLLER, Safety

# By API group and kind, since a Job of another group than batch has another controller.
_KNOWN: dict[tuple[str, str], Resource] = {
    ("apps", "ReplicaSet"): REPLICA_SETS,
    ("apps", "StatefulSet"): STATEFUL_SETS,
    ("apps", "DaemonSet"): DAEMON_SETS,
    ("batch", "Job"): JOBS,
    ("", "ReplicationController"): REPLICATION_CONTROLLERS,
}
# The kind of a workload's object to the controller of its pods.
_MAKES = {
    "Deployment": REPLICA_SETS,
    "Rollout": REPLICA_SETS,
    "CronJob": JOBS,
    **{kind: resource for (_, kind), resource in _KNOWN.items()},
}
_JOB_CONTROLLER = "kubernetes.io/job-controller"
# The last two precede the first two while the remaining pods are terminated; no new pod is created then either.
_JOB_OVER = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget")
_DEFAULT_BACKOFF_LIMIT = 6
# Seconds before a Job's failed pod is replaced: doubled with each failure.
_FIRST_BACKOFF, _LONGEST_BACKOFF = 10.0, 600.0
_INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"


def needed_for(objects: Sequence[Object]) -> frozenset[Permission]:
    """Return the permissions that reading the controllers of a workload's pods needs."""
    resources = {_MAKES[item["kind"]] for item in objects if item["kind"] in _MAKES}
    return frozenset().union(*(allow(resource, "get") for resource in resources))


def unreplaced(
    api: KubeApi, hit: Sequence[Object], pods: Sequence[Object], safety: Safety, *, now: float
) -> Iterator[str]:
    """Yield one sentence for each controller that would not replace all of the pods that are hit, with the reason.

    ``pods`` are all pods that can be lost, ``now`` is in Unix seconds. Raises ApiError.
    """
    by_controller: dict[str, list[Object]] = defaultdict(list)
    for pod in hit:
        reference = controller_of(pod)
        if reference is None or is_static(pod):
            yield f"{_titles([pod])}: no controller would replace it"
        else:
            by_controller[str(reference.get("uid"))].append(pod)
    for uid, own in sorted(by_controller.items()):
        reference = controller_of(own[0]) or {}
        why = _refusal(api, reference, own, [pod for pod in pods if is_owned_by(pod, uid)], safety, now=now)
        if why:
            yield f"{_titles(own)} would not be replaced: {why}"


def _refusal(
    api: KubeApi, reference: Mapping[str, Any], hit: list[Object], siblings: list[Object], safety: Safety, *, now: float
) -> str:
    """Return why a controller would not replace the pods that are hit; empty if it would."""
    group = str(reference.get("apiVersion", "")).rpartition("/")[0]
    kind, name = str(reference.get("kind")), str(reference.get("name"))
    title = f"{kind.lower()}/{name}"
    resource = _KNOWN.get((group, kind))
    if resource is None:
        return _unknown(f"{title} of {reference.get('apiVersion')}", safety)
    found = api.find(resource, name, hit[0]["metadata"]["namespace"])
    if found is None or found["metadata"]["uid"] != reference.get("uid"):
        return f"their controller {title} no longer exists"
    if "deletionTimestamp" in found["metadata"]:
        return f"their controller {title} is being deleted"
    if resource == JOBS:
        manager = found["spec"].get("managedBy") or _JOB_CONTROLLER
        if manager != _JOB_CONTROLLER:
            return _unknown(f"{title}, managed by {manager}", safety)
        return _of_job(found, hit, siblings, now)
    return _RULES[resource](found, hit, siblings)


def _unknown(title: str, safety: Safety) -> str:
    if safety.unknown_controller == "allowed":
        return ""
    return f"whether {title} replaces a lost pod is unknown; {ALLOW_UNKNOWN_CONTROLLER}"


def _of_count(owner: Object, hit: list[Object], siblings: list[Object]) -> str:
    """Check a ReplicaSet or ReplicationController, which keeps a number of pods.

    Pods of a Deployment are always replaced: during a rollout those of the old ReplicaSet, by pods of the new one.
    """
    above = controller_of(owner)
    if above and above["kind"] == "Deployment":
        return ""
    desired = int(owner["spec"].get("replicas", 1))
    left = len(siblings) - len(hit)
    if desired - left >= len(hit):
        return ""
    return f"{_title(owner)} has {len(siblings)} pods and wants {desired}"


def _of_stateful_set(owner: Object, hit: list[Object], siblings: list[Object]) -> str:
    del siblings
    spec = owner["spec"]
    first = int((spec.get("ordinals") or {}).get("start", 0))
    numbers = range(first, first + int(spec.get("replicas", 1)))
    beyond = [pod for pod in hit if _ordinal(pod) not in numbers]
    wanted = f"{numbers[0]} to {numbers[-1]}" if numbers else "none"
    return f"{_title(owner)} keeps the ordinals {wanted}, which excludes {_titles(beyond)}" if beyond else ""


def _ordinal(pod: Object) -> int:
    found = re.search(r"-(\d+)$", str(pod["metadata"]["name"]))
    return int(found[1]) if found else -1


def _of_daemon_set(owner: Object, hit: list[Object], siblings: list[Object]) -> str:
    del owner, hit, siblings
    return ""


_RULES: dict[Resource, Callable[[Object, list[Object], list[Object]], str]] = {
    REPLICA_SETS: _of_count,
    REPLICATION_CONTROLLERS: _of_count,
    STATEFUL_SETS: _of_stateful_set,
    DAEMON_SETS: _of_daemon_set,
}


def _of_job(job: Object, hit: list[Object], siblings: list[Object], now: float) -> str:
    """Check a Job, which replaces a failed pod while its limits allow it. A deleted pod counts as failed."""
    spec, status, title = job["spec"], job.get("status") or {}, _title(job)
    over = [name for name in _JOB_OVER if holds(job, name)]
    if over:
        return f"{title} has finished (condition {over[0]})"
    if spec.get("suspend"):
        return f"{title} is suspended"
    rules = (spec.get("podFailurePolicy") or {}).get("rules") or ()
    fatal = [rule["action"] for rule in rules if rule.get("action") in {"FailJob", "FailIndex"}]
    if fatal:
        return f"the podFailurePolicy of {title} has a rule with the action {fatal[0]}, which may match a killed pod"
    # A terminated pod is first listed as uncounted, and added to the counter in a later update of the status.
    failed = int(status.get("failed") or 0) + len((status.get("uncountedTerminatedPods") or {}).get("failed") or ())
    return (
        _beyond_limits(title, spec, hit, failed)
        or _enough_running(title, spec, int(status.get("succeeded") or 0), len(siblings), len(hit))
        or _too_late(title, spec, status, failed + len(hit), now)
    )


def _beyond_limits(title: str, spec: Mapping[str, Any], hit: Collection[Object], failed: int) -> str:
    per_index = spec.get("backoffLimitPerIndex")
    if per_index is not None:
        spent = max(int((pod["metadata"].get("annotations") or {}).get(_INDEX_FAILURES, 0)) for pod in hit)
        if spent + 1 > int(per_index):
            return f"{title} has backoffLimitPerIndex {per_index}, and an index would fail {spent + 1} times"
        # With backoffLimitPerIndex the API's default of backoffLimit is 2147483647, in practice no limit.
        limit = spec.get("backoffLimit")
    else:
        limit = spec.get("backoffLimit", _DEFAULT_BACKOFF_LIMIT)
    if limit is None or failed + len(hit) <= int(limit):
        return ""
    return f"{title} has backoffLimit {limit}, which {failed} failed and {len(hit)} killed pods exceed"


def _enough_running(title: str, spec: Mapping[str, Any], succeeded: int, active: int, hit: int) -> str:
    completions, parallel = spec.get("completions"), int(spec.get("parallelism", 1))
    if completions is None and "parallelism" not in spec:
        # The API server's default for a manifest without both fields.
        completions = 1
    if completions is None and succeeded:
        return f"{title} is a work queue and {succeeded} of its pods have succeeded: it starts no new pods"
    wanted = parallel if completions is None else max(0, min(parallel, int(completions) - succeeded))
    if wanted - (active - hit) >= hit:
        return ""
    return f"{title} has {active} active pods and needs {wanted} (completions {completions}, succeeded {succeeded})"


def _too_late(title: str, spec: Mapping[str, Any], status: Mapping[str, Any], failures: int, now: float) -> str:
    limit, started = spec.get("activeDeadlineSeconds"), status.get("startTime")
    if limit is None or not started:
        return ""
    left = parse_kubernetes_time(started) + float(limit) - now
    backoff = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(failures - 1, 10))
    if left > backoff:
        return ""
    return (
        f"{title} ends in {max(0.0, left):.0f} s (activeDeadlineSeconds {limit}) and waits {backoff:g} s before a retry"
    )


def _title(item: Object) -> str:
    return f"{str(item['kind']).lower()}/{item['metadata']['name']}"


def _titles(pods: Sequence[Object]) -> str:
    names = sorted(f"pod/{pod['metadata']['name']}" for pod in pods)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
