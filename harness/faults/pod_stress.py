"""Uses up resources in pods: CPU, memory, disk I/O and processes, by stress-ng in an ephemeral container of each pod.

The container belongs to the pod's control group: it shares the pod's weight (the sum of the requests of its containers)
and its limits, which a pod has if all of its containers have them. It has no requests and limits itself, so a pod
without limits can use up what its node has. The application's own containers need neither a shell nor stress-ng.

Undone by ending stress-ng, which otherwise ends by itself after the time-to-live of the effect. Kubernetes keeps the
entry of an ephemeral container until the pod is replaced, so an existing namespace is refused. Evidence is what the
kernel counted for the container: CPU time, memory and kills for lack of it, disk I/O, tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.kube.resources import PODS
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.needs import Need, WorkloadManifests
from harness.faults.stress import Counters, Stress, StressContainer, judged
from harness.faults.targets import PodTarget
from harness.model.timeline import Victim


@dataclass(frozen=True, slots=True)
class Beside:
    """The name of the container that is added to a pod."""

    container: str


class PodStress(PodTarget, Stress, Fault):
    """Use up resources in pods."""

    kind: ClassVar[str] = "podStress"
    example: ClassVar[Mapping[str, Any]] = {"selector": "app=podinfo", "cpu": 2, "memory": "64Mi"}
    effect: ClassVar[Effect] = Effect.STRESS

    @property
    def permissions(self) -> frozenset[Permission]:
        patch = allow(PODS, "patch", part="ephemeralcontainers")
        return self.target_permissions | allow(PODS, "get") | patch | allow(PODS, *EXEC_VERBS, part="exec")

    def lasting(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield the entry of the ephemeral container."""
        del workload
        yield (), "the entry of its ephemeral container would stay in the pod until that is replaced"

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        pods = self.choose_pods(context.api, context.namespace, context.rng, context.clock.wall())
        # Names of ephemeral containers are never free again, so each injection needs another one.
        name = f"stress-{context.rng.getrandbits(32):08x}"
        return tuple(
            Victim("Pod", pod["metadata"]["name"], pod["metadata"]["uid"], self.summary(), Beside(name)) for pod in pods
        )

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            pod = context.api.find(PODS, victim.name, context.namespace)
            if pod is None or pod["metadata"]["uid"] != victim.uid:
                raise Inconclusive(f"pod {victim.name} disappeared before it was stressed, not by this fault")
        for victim in victims:
            name = victim.state_before(Beside).container
            parameters = {"namespace": context.namespace, "pod": victim.name, "uid": victim.uid, "container": name}
            context.journal.write(self.kind, f"end stress-ng in pod {victim.name}", parameters)
        for victim in victims:
            added = self.stressor(victim.state_before(Beside).container, context.journal.ttl)
            body = {"spec": {"ephemeralContainers": [added]}}
            try:
                context.api.patch(
                    PODS,
                    victim.name,
                    body,
                    context.namespace,
                    strategy="strategic-merge",
                    subresource="ephemeralcontainers",
                )
            except ApiError as error:
                raise Inconclusive(f"pod {victim.name} takes no ephemeral container: {error}") from error
        # All of them are there before the first one starts, so that they begin together.
        for victim in victims:
            self._container(context, victim).start(context)

    def _container(self, context: FaultContext, victim: Victim) -> StressContainer:
        name = victim.state_before(Beside).container
        return _container(context.api, context.namespace, victim.name, victim.uid, name)

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        known = {victim.name: victim for victim in victims}

        def counters(name: str) -> Counters | str:
            container = self._container(context, known[name])
            try:
                return container.counters() if container.runs() else "stress-ng does not run"
            except HarnessError as error:
                return str(error)

        return judged(self, [victim.name for victim in victims], counters)

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        pod, name = parameters["pod"], parameters["container"]
        container = _container(cluster.api, parameters["namespace"], pod, parameters["uid"], name)
        if container.status() is None:
            return f"pod {pod} is gone, and stress-ng with it"
        try:
            return f"stress-ng in pod {pod} {container.stop()}"
        except ApiError as error:
            if container.status() is None:
                return f"pod {pod} is gone, and stress-ng with it"
            # A shell that could not be started now (no memory, no PIDs) may start a moment later.
            raise NotYet(f"stress-ng in pod {pod} could not be ended: {error}") from error


def _container(api: KubeApi, namespace: str, pod: str, uid: str, name: str) -> StressContainer:
    def status() -> Mapping[str, Any] | None:
        found = api.find(PODS, pod, namespace)
        if found is None or found["metadata"]["uid"] != uid:
            return None
        listed = (found.get("status") or {}).get("ephemeralContainerStatuses") or ()
        return next((each for each in listed if each["name"] == name), {})

    return StressContainer(api, namespace, pod, name, status)
