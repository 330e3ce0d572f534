"""The draft of an experiment for each kind of fault: what it hits, what must hold, and which twin shows that it can
fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.common.errors import InputError, Problem
from harness.common.shapes import mapping
from harness.experiment.scaffold import twins
from harness.experiment.scaffold.draft import Commented, Draft, Limits
from harness.experiment.scaffold.hanging import pod_request, process_hang
from harness.experiment.scaffold.parts import NO_TWIN, after_undo, loaded, phase_lengths, recovery_time, served
from harness.experiment.scaffold.subject import Subject

# Seconds after which Kubernetes treats a silent node as lost: 50 by default, plus the time to remove its endpoints.
NODE_LOST = 75
_LAST = {"lastReplica": "allowed"}
_NOT_READY = "a readiness probe and a container port are both missing, so readiness cannot be delayed"

_Drafter = Callable[[Subject, Limits], Draft]


def draft(kind: str, subject: Subject, limits: Limits) -> Draft:
    """Return the draft for a built-in kind of fault. Raises InputError if the fault does not fit the workload."""
    return DRAFTS[kind](subject, limits.slower(2 * subject.delay()))


def _pod_leaves(
    kind: str, parameters: Mapping[str, object], verb: str, comment: str, lost: tuple[str, str] = ("the loss of", "pod")
) -> _Drafter:
    def drafted(subject: Subject, limits: Limits) -> Draft:
        fault = Commented({kind: {"selector": subject.selector, "count": 1, **parameters}}, comment)
        several = (subject.replicas or 1) > 1
        phases = phase_lengths(10, limits.recovery)
        why = "10 s with the fault show the loss; recovery may take what recoveryTime allows, and ends when all is back"
        recovery = recovery_time(subject, limits)
        if several and loaded(subject) and subject.kind == "Deployment":
            return Draft(
                f"{verb} one of the {subject.replicas} pods of {subject.name} costs users less than "
                f"{_lost(limits)} of their requests, and it is back within {limits.recovery} s.",
                fault,
                (*served(subject, limits), recovery),
                phases,
                why,
                twins.one_replica(subject, ("availability",)),
            )
        what = f"one of the pods of {subject.name}" if subject.replicas != 1 else f"the only pod of {subject.name}"
        after = () if several else ("settle",)
        objectives = (*served(subject, limits, after), recovery)
        twin = twins.slow_to_ready(subject, limits.recovery, ("recoveryTime",))
        hypothesis = f"After {lost[0]} {what}, a new {lost[1]} is ready within {limits.recovery} s."
        return Draft(hypothesis, fault, objectives, phases, why, twin, NO_TWIN.format(what=_NOT_READY))

    return drafted


def _container_kill(subject: Subject, limits: Limits) -> Draft:
    # SIGKILL does not reach the main process of a container from inside, unless the pod shares one PID namespace.
    signal = "KILL" if subject.source.spec.get("shareProcessNamespace") else "TERM"
    parameters = {"container": subject.container["name"], "signal": signal}
    comment = "the kubelet restarts the container in place; its process must handle SIGTERM"
    lost = ("the end of a container in", "container")
    return _pod_leaves("containerKill", parameters, "Killing a container in", comment, lost)(subject, limits)


def _oom_kill(subject: Subject, limits: Limits) -> Draft:
    if "memory" not in mapping(mapping(subject.container.get("resources")).get("limits")):
        raise _misfit(subject, "oomKill", "a container with a memory limit")
    comment = "its memory is used up; the kernel kills it, and the kubelet restarts it in place"
    lost = ("the end of a container in", "container")
    return _pod_leaves("oomKill", {"container": subject.container["name"]}, "Filling", comment, lost)(subject, limits)


def _bad_rollout(subject: Subject, limits: Limits) -> Draft:
    if subject.kind != "Deployment":
        raise _misfit(subject, "badRollout", "a Deployment")
    fault = Commented(
        {
            "badRollout": {
                "of": subject.name,
                "container": subject.container["name"],
                "image": _no_such_image(str(subject.container.get("image", ""))),
            }
        },
        "an image that does not exist: the new pods never start",
    )
    back = Commented({"rolledBack": {"of": subject.name, "within": f"{limits.recovery}s"}}, limits.origin)
    if mapping(subject.spec.get("strategy")).get("type") == "Recreate":
        twin = twins.slow_to_ready(subject, limits.recovery, ("rolledBack",))
        return Draft(
            f"After a rollout to an image that does not exist, {subject.name} is rolled back within "
            f"{limits.recovery} s.",
            fault,
            (back, *served(subject, limits, ("settle",))),
            phase_lengths(30, limits.recovery),
            "30 s with the bad rollout; its strategy Recreate removes the old pods meanwhile",
            twin,
            NO_TWIN.format(what=_NOT_READY),
        )
    available = Commented(
        {"invariant": {"of": subject.name, "available": ">= 1"}}, "the old pods stay until the new ones work"
    )
    return Draft(
        f"A rollout of {subject.name} to an image that does not exist costs users nothing, and is rolled back.",
        fault,
        (available, *served(subject, limits), back),
        phase_lengths(30, limits.recovery),
        "30 s with the bad rollout; an image that cannot be pulled is noticed in seconds",
        twins.recreate(subject, ("invariant", "availability") if loaded(subject) else ("invariant",)),
    )


def _scale(subject: Subject, limits: Limits) -> Draft:
    if subject.kind not in ("Deployment", "StatefulSet"):
        raise _misfit(subject, "scale", "a Deployment or a StatefulSet")
    several = (subject.replicas or 1) > 1
    left = 1 if several else 0
    fault = Commented({"scale": {"of": subject.name, "replicas": left}}, "as a mistaken `kubectl scale` would")
    since = after_undo(subject, limits)
    if subject.kind == "StatefulSet" and twins.is_ordered(subject) and (subject.replicas or 1) > left + 1:
        ordered = Commented({"order": {"of": subject.name}}, "one pod at a time: podManagementPolicy is OrderedReady")
        return Draft(
            f"{subject.name} scaled to {left} by mistake stops and starts its pods in order, and is whole again within "
            f"{limits.recovery} s of the correction.",
            fault,
            (*served(subject, limits), ordered, since),
            phase_lengths(30, limits.recovery),
            "30 s with too few pods: they stop one after the other; the old number is set again after it",
            twins.parallel(subject, ("order",)),
        )
    return Draft(
        f"{subject.name} scaled to {left} by mistake is whole again within {limits.recovery} s of the correction.",
        fault,
        (*served(subject, limits, () if several else ("settle",)), since),
        phase_lengths(15, limits.recovery),
        "15 s with too few pods; the old number is set again after it",
        twins.slow_to_ready(subject, limits.recovery, ("recoveryTime",)),
        NO_TWIN.format(what=_NOT_READY),
    )


def _node(kind: str, parameters: Mapping[str, object], loses: str, *, restarts: bool = False) -> _Drafter:
    def drafted(subject: Subject, limits: Limits) -> Draft:
        fault = Commented(
            {kind: {"hosting": subject.selector, "count": 1, **parameters}},
            "one node that runs such a pod; it works on the local cluster and on kind",
        )
        why = f"{NODE_LOST} s: by default Kubernetes gives a silent node 50 s before it counts as lost"
        phases = phase_lengths(NODE_LOST, limits.recovery)
        if (subject.replicas or 1) > 1 and subject.kind == "Deployment":
            least = {"availability": {"min": "40%", "phases": ["fault"]}}
            kept = (
                Commented(least, "requests to the lost pods fail until the node counts as lost")
                if loaded(subject)
                else Commented({"invariant": {"of": subject.name, "available": ">= 1"}}, "the other pods stay")
            )
            return Draft(
                f"While {loses}, the other pods of {subject.name} serve; afterwards all is well again.",
                fault,
                (kept, *served(subject, limits, ("settle",))),
                phases,
                why,
                twins.one_replica(subject, tuple(kept.value), "no other pod serves while the node is lost", _LAST),
                disruptive=True,
            )
        since = after_undo(subject, limits)
        return Draft(
            f"After {loses} for {NODE_LOST} s, {subject.name} is back within {limits.recovery} s of its return.",
            fault,
            (*served(subject, limits, ("settle",)), since),
            phases,
            why,
            twins.slow_to_ready(subject, limits.recovery, ("recoveryTime",)) if restarts else None,
            NO_TWIN.format(what="pods that are not replaced and not restarted"),
            disruptive=True,
            # Which pods run on the node is known only in the cluster.
            safety=_LAST,
        )

    return drafted


def _drain(subject: Subject, limits: Limits) -> Draft:
    fault = {"drain": {"hosting": subject.selector, "count": 1, "timeout": "30s"}}
    several = (subject.replicas or 1) > 1 and subject.kind == "Deployment" and loaded(subject)
    lost = f"costs users less than {_lost(limits)} of their requests" if several else "costs nothing that lasts"
    twin = (
        twins.one_replica(subject, ("availability",), safety=_LAST)
        if several
        else twins.slow_to_ready(subject, limits.recovery, ("recoveryTime",))
    )
    return Draft(
        f"Draining a node that runs a pod of {subject.name} {lost}, and all is back within {limits.recovery} s.",
        Commented(fault, "one node that runs such a pod; evictions obey disruption budgets, for at most 30 s"),
        (*served(subject, limits, () if several else ("settle",)), recovery_time(subject, limits)),
        phase_lengths(10, limits.recovery),
        "10 s after the evictions; recovery may take what recoveryTime allows, and ends when all is back",
        twin,
        NO_TWIN.format(what=_NOT_READY),
        disruptive=True,
        # Which pods run on the node is known only in the cluster.
        safety=_LAST,
    )


def _cordon(subject: Subject, limits: Limits) -> Draft:
    kept = Commented({"invariant": {"of": subject.name, "available": ">= 1"}}, "no pod leaves a cordoned node")
    return Draft(
        f"{subject.name} is served as before while a node takes no new pods.",
        Commented({"cordon": {"hosting": subject.selector, "count": 1}}, "a node that runs such a pod, which stays"),
        (kept, *served(subject, limits)),
        phase_lengths(10, limits.recovery),
        "10 s with the cordoned node; add a podKill or a rollout to see where new pods go",
        no_twin=NO_TWIN.format(what="nothing that ends or starts a pod"),
        disruptive=True,
    )


def _pod_stress(subject: Subject, limits: Limits) -> Draft:
    several = (subject.replicas or 1) > 1
    stressed = f"one of the pods of {subject.name}" if subject.replicas != 1 else f"the only pod of {subject.name}"
    kept = Commented({"invariant": {"of": subject.name, "available": ">= 1"}}, "a stressed pod is slow, not gone")
    return Draft(
        f"While two processes use up CPU time in {stressed}, users are served in time.",
        Commented(
            {"podStress": {"selector": subject.selector, "count": 1, "cpu": 2}},
            "stress-ng in an ephemeral container of the pod: it shares the requests and limits of the pod",
        ),
        (kept, *served(subject, limits)),
        phase_lengths(15, limits.recovery),
        "15 s with the stress, which ends when it is undone",
        no_twin=NO_TWIN.format(what="stress that shares all that the pod has"),
        safety={} if several else _LAST,
    )


def _node_stress(subject: Subject, limits: Limits) -> Draft:
    kept = Commented({"invariant": {"of": subject.name, "available": ">= 1"}}, "its pods stay on the node")
    return Draft(
        f"While two processes use up CPU time on a node of {subject.name}, users are served in time.",
        Commented(
            {"nodeStress": {"hosting": subject.selector, "count": 1, "cpu": 2}},
            "stress-ng in a pod on a node that runs such a pod; give the pods requests for what they need",
        ),
        (kept, *served(subject, limits)),
        phase_lengths(15, limits.recovery),
        "15 s with the stress, which ends when it is undone",
        no_twin=NO_TWIN.format(what="a node that has CPU time left"),
        disruptive=True,
        # Which pods run on the node is known only in the cluster.
        safety=_LAST,
    )


def _metrics_outage(subject: Subject, limits: Limits) -> Draft:
    if subject.autoscaler is None:
        raise _misfit(subject, "metricsOutage", "a workload with a HorizontalPodAutoscaler")
    name = f"hpa/{subject.autoscaler['metadata']['name']}"
    kept = {"invariant": {"of": subject.name, "desired": f">= {subject.replicas}"}}
    resumes = {"replicas": {"of": name, "resumesWithin": f"{limits.recovery}s"}}
    return Draft(
        f"Without metrics {name} keeps its size, and computes again within {limits.recovery} s of their return.",
        Commented({"metricsOutage": {"of": name}}, "the metrics of all pods of the cluster are gone"),
        (
            Commented(kept, "what is unknown must not look unused"),
            Commented(resumes, limits.origin),
            *served(subject, limits),
        ),
        phase_lengths(30, limits.recovery),
        "30 s without metrics: an autoscaler looks every 15 s by default",
        no_twin=NO_TWIN.format(what="metrics that are gone"),
        disruptive=True,
        safety={"metricsApi": "allowed"},
    )


DRAFTS: Mapping[str, _Drafter] = {
    "badRollout": _bad_rollout,
    "containerKill": _container_kill,
    "cordon": _cordon,
    "drain": _drain,
    "metricsOutage": _metrics_outage,
    "nodeCutOff": _node("nodeCutOff", {}, "a node is cut off the network"),
    "nodePause": _node("nodePause", {}, "a node is frozen"),
    "nodeService": _node("nodeService", {"service": "kubelet"}, "the kubelet of a node is stopped"),
    "nodeStop": _node("nodeStop", {"mode": "kill"}, "a node has no power", restarts=True),
    "nodeStress": _node_stress,
    "oomKill": _oom_kill,
    "podEvict": _pod_leaves("podEvict", {}, "Evicting", "through the eviction API, as `kubectl drain` does"),
    "podKill": _pod_leaves("podKill", {"gracePeriod": "0s"}, "Killing", "at once, without time to shut down"),
    "podRequest": pod_request,
    "podStress": _pod_stress,
    "processHang": process_hang,
    "scale": _scale,
}


def _lost(limits: Limits) -> str:
    return f"{round((1 - limits.availability) * 100, 3):g}%"


def _no_such_image(image: str) -> str:
    if image.startswith("${image:"):
        return f"{image.rstrip('}').rpartition(':')[0] if image.count(':') > 1 else image.rstrip('}')}:does-not-exist}}"
    repository = image.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}:does-not-exist"


def _misfit(subject: Subject, fault: str, expected: str) -> InputError:
    return InputError([Problem(f"found {subject.name}, expected {expected} for {fault}: choose one with --target")])
