"""Takes the metrics of pods away from autoscalers: no Service of the cluster serves them, or another one does.

The APIService of ``metrics.k8s.io`` points to a Service that does not exist, as if metrics-server were gone, or to a
Service of the experiment that answers in its place (``servedBy``): late, with old numbers, or with wrong ones.
metrics-server itself is not touched. Every autoscaler of the cluster and ``kubectl top`` are hit, and no namespace can
be deleted meanwhile, so the experiment needs ``disruptive: true`` and ``safety: {metricsApi: allowed}``. Undone by
restoring the former Service, unless another client has set a new one since.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.kube.client import Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import API_SERVICES, AUTOSCALERS
from harness.cluster.kube.resources import METRICS_API as API
from harness.cluster.protocol import Capability, Cluster
from harness.common.errors import ApiError, ClusterRefused, HarnessError, Inconclusive, NotYet
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.needs import Need, WorkloadManifests, workload_exists
from harness.model.timeline import Victim
from harness.safety.guard import PROTECTED_LABEL, check_victims

# An annotation of the APIService while it points elsewhere.
MARK = "resilience.harness/metrics-outage"
_PORT = 443
_NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
# The types of an autoscaler's metrics that come from this API.
_TYPES = frozenset({"Resource", "ContainerResource"})


class MetricsOutage(Fault):
    """Leave autoscalers without the CPU and memory of their pods, or with those that a substitute serves."""

    kind: ClassVar[str] = "metricsOutage"
    example: ClassVar[Mapping[str, Any]] = {"of": "hpa/podinfo"}
    effect: ClassVar[Effect] = Effect.METRICS_API
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.METRICS_SERVER})
    disruptive: ClassVar[bool] = True

    of: str = Field(
        pattern=rf"^hpa/{_NAME}$",
        description="the autoscaler that must notice it, such as hpa/shop; every other one of the cluster is hit too",
    )
    served_by: str | None = Field(
        default=None,
        pattern=rf"^service/{_NAME}$",
        description="a Service of the experiment, such as service/slow-metrics, that serves the API on port 443 with "
        "any certificate; by default none does",
    )

    @property
    def workloads(self) -> Sequence[str]:
        return (self.of, self.served_by) if self.served_by else (self.of,)

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield an autoscaler or a substitute that is not there."""
        yield from workload_exists("of", self.of, workload)
        if self.served_by:
            yield from workload_exists("servedBy", self.served_by, workload)

    @property
    def permissions(self) -> frozenset[Permission]:
        return allow(AUTOSCALERS, "get") | allow(API_SERVICES, "get", "patch", place="cluster")

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        autoscaler = self._autoscaler(context)
        check_victims([autoscaler], context.namespace)
        if not _reads(autoscaler):
            raise Inconclusive(f"{self.of} has no current metric of CPU or memory, so it would not notice an outage")
        api = context.api.find(API_SERVICES, API)
        if api is None or not api["spec"].get("service"):
            raise Inconclusive(f"no Service of the cluster serves {API}")
        if PROTECTED_LABEL in (api["metadata"].get("labels") or {}):
            raise ClusterRefused(f"apiservice/{API} has the label {PROTECTED_LABEL}")
        if MARK in (api["metadata"].get("annotations") or {}):
            raise Inconclusive(f"apiservice/{API} has the annotation {MARK}: an outage is in effect already")
        if not holds(api, "Available"):
            raise Inconclusive(f"apiservice/{API} is not Available already, before the fault")
        return (Victim(api["kind"], API, api["metadata"]["uid"], f"served by {_served_by(api)}"),)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            found = context.api.find(API_SERVICES, API)
            if found is None or found["metadata"]["uid"] != victim.uid:
                raise Inconclusive(f"apiservice/{API} was replaced before it could be changed")
            mark = secrets.token_hex(8)
            # The name of a Service that nobody has, in a namespace that goes with the experiment.
            name = self.served_by.partition("/")[2] if self.served_by else f"none-{mark}"
            after: Object = {"service": {"namespace": context.namespace, "name": name, "port": _PORT}}
            if self.served_by:
                # No authority is known that signed the substitute's certificate.
                after |= {"caBundle": None, "insecureSkipTLSVerify": True}
            parameters = {"mark": mark, "before": {key: found["spec"].get(key) for key in after}, "after": after}
            context.journal.write(self.kind, f"point {API} to {_served_by(found)} again", parameters)
            unchanged = {key: found["metadata"][key] for key in ("uid", "resourceVersion")}
            try:
                context.api.patch(
                    API_SERVICES, API, {"metadata": {**unchanged, "annotations": {MARK: mark}}, "spec": after}
                )
            except ApiError as error:
                if error.status != 409:
                    raise
                raise Inconclusive(f"apiservice/{API} was changed by another client meanwhile: {error}") from error

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Proven if the API is served by the substitute, or by none, and the autoscaler has lost its metrics."""
        found = context.api.find(API_SERVICES, API) if victims else None
        if found is None or _of(found)[0] != context.namespace:
            return Evidence(proven=False, text=f"{API} was not changed" if victims else "nothing was hit")
        text = f"{API} is served by {_served_by(found)}"
        if self.served_by:
            return Evidence(proven=True, text=f"{text} ({'' if holds(found, 'Available') else 'not '}Available)")
        if holds(found, "Available"):
            return Evidence(proven=False, text=f"{text}, and still Available")
        lost = not _reads(self._autoscaler(context))
        noticed = f"{self.of} has lost its metrics" if lost else f"but {self.of} has not noticed yet"
        return Evidence(proven=lost, text=f"{text}, which is not there, {noticed}")

    def unfinished(self, context: FaultContext, victims: tuple[Victim, ...]) -> str:
        found = context.api.find(API_SERVICES, API) if victims else None
        return "" if found is None or holds(found, "Available") else f"{API} is not Available again"

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        before, after = parameters["before"], parameters["after"]
        found = cluster.api.find(API_SERVICES, API)
        if found is None:
            return f"apiservice/{API} is gone: nothing to undo"
        metadata = found["metadata"]
        if (metadata.get("annotations") or {}).get(MARK) != parameters["mark"]:
            return f"{API} does not have this fault's annotation: the fault was never injected, or it is undone already"
        # A new Service that another client has set since stays.
        ours = _of(found) == _of({"spec": after})
        unchanged = {key: metadata[key] for key in ("uid", "resourceVersion")}
        patch = {"metadata": {**unchanged, "annotations": {MARK: None}}, **({"spec": before} if ours else {})}
        try:
            restored = cluster.api.patch(API_SERVICES, API, patch)
        except ApiError as error:
            if error.status != 409:
                raise
            raise NotYet(f"apiservice/{API} has changed meanwhile: {error}") from error
        if not ours:
            return f"{API} was changed by another client since, not touched"
        if {key: restored["spec"].get(key) for key in before} != before:
            raise HarnessError(f"apiservice/{API} does not have its former values")
        return f"{API} is served by {_served_by(restored)} again"

    def _autoscaler(self, context: FaultContext) -> Object:
        found = context.api.find(AUTOSCALERS, self.of.partition("/")[2], context.namespace)
        if found is None:
            raise Inconclusive(f"there is no {self.of} in namespace {context.namespace}")
        return found


def _reads(autoscaler: Object) -> bool:
    """Return whether an autoscaler has a current value of a metric from this API, and can compute with its metrics."""
    # The controller keeps the place of a metric that it cannot read, without a type.
    current = (autoscaler.get("status") or {}).get("currentMetrics") or ()
    return holds(autoscaler, "ScalingActive") and any(metric.get("type") in _TYPES for metric in current)


def _of(api: Object) -> tuple[str, str]:
    service = api["spec"].get("service") or {}
    return str(service.get("namespace")), str(service.get("name"))


def _served_by(api: Object) -> str:
    namespace, name = _of(api)
    return f"service/{name} in {namespace}"
