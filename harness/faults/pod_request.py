"""Sends an HTTP request to pods: for an application's own switches, such as a health endpoint that fails on demand.

``undo`` is the request that reverts it. It must be safe to repeat: a sweep after a killed run sends it again. ``undo:
none`` states that only the end of the container reverts the request, as with a switch in memory that a restart by the
liveness probe resets. Both go to a port of the pod as with ``kubectl port-forward``, so that the server may listen on
localhost only. They are kept in the undo journal, so they must not contain credentials.

The answer is the evidence: the expected status, by default 200 to 299. With ``shows`` the pod must show the effect too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.containers import container_id, container_status
from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.kube.pod_http import HttpRequest, send
from harness.cluster.kube.resources import PODS
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.needs import Need, WorkloadManifests
from harness.faults.targets import PodTarget
from harness.model.timeline import Victim

_SUCCESS = range(200, 300)
_SERVER_ERROR = 500


class PodHttp(BaseModel):
    """One HTTP request to a pod."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(default="POST", description="the HTTP method")
    # What HTTP allows on the wire, so that a path cannot contain a second request (RFC 9112, section 3).
    path: str = Field(pattern=r"^/[!-~]*$", description="the path, with its query: /switch/liveness?to=fail")
    port: int = Field(ge=1, le=65535, strict=True, description="the number of the port in the pod")
    body: str = Field(default="", description="the body of the request")
    expect: Annotated[int, Field(ge=200, le=599)] | None = Field(
        default=None, strict=True, description="the only status of a success; by default 200 to 299"
    )

    def __str__(self) -> str:
        return f"{self.method} :{self.port}{self.path}"

    def send(self, api: KubeApi, namespace: str, pod: str) -> None:
        """Send it once. Raises ApiError, OSError without an answer, and _OtherStatus."""
        answer = send(api, namespace, pod, HttpRequest(self.port, self.method, self.path, self.body))
        expected = answer.status in _SUCCESS if self.expect is None else answer.status == self.expect
        if not expected:
            wanted = f"{_SUCCESS[0]} to {_SUCCESS[-1]}" if self.expect is None else str(self.expect)
            text = f"pod {pod} answered {self} with {answer.status} {answer.text!r}, expected {wanted}"
            raise _OtherStatus(answer.status, text)


class _OtherStatus(HarnessError):
    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Running:
    """A container before the request: its id in the runtime."""

    container: str
    container_id: str


class PodRequest(PodTarget, Fault):
    """Send each pod an HTTP request that the application's own switches understand."""

    kind: ClassVar[str] = "podRequest"
    example: ClassVar[Mapping[str, Any]] = {
        "selector": "app=podinfo",
        "request": {"path": "/readyz/disable", "port": 9898},
        "undo": {"path": "/readyz/enable", "port": 9898},
    }
    effect: ClassVar[Effect] = Effect.APPLICATIONS

    container: str | None = Field(
        default=None, description="the container that serves the port; the first one of the pod by default"
    )
    request: PodHttp = Field(
        description="the request: port, path, method (POST), body and the expected status (expect; 200 to 299)"
    )
    undo_by: PodHttp | Literal["none"] = Field(
        alias="undo",
        description="the request that reverts it, or none if only the end of the container does",
    )
    shows: Literal["notReady", "restarted"] | None = Field(
        default=None,
        description="further evidence to wait for: the pod is not Ready, or its container was restarted",
    )

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get") | allow(PODS, *EXEC_VERBS, part="portforward")

    def lasting(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield a request that nothing reverts."""
        del workload
        if self.undo_by == "none":
            yield ("undo",), "found none, expected a request in an existing namespace: the effect would stay"

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        pods = self.choose_pods(context.api, context.namespace, context.rng, context.clock.wall())
        return tuple(self._victim(pod) for pod in pods)

    def _victim(self, pod: Object) -> Victim:
        container = self.container_of(pod)
        before = Running(container, container_id(container_status(pod, container)))
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        return Victim("Pod", name, uid, str(self.request), before)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            pod = context.api.find(PODS, victim.name, context.namespace)
            if pod is None or pod["metadata"]["uid"] != victim.uid:
                raise Inconclusive(f"pod {victim.name} disappeared before the request, not by this fault")
            self._write_undo(context, victim)
            try:
                self.request.send(context.api, context.namespace, victim.name)
            except (OSError, ApiError) as error:
                raise Inconclusive(f"pod {victim.name} did not answer {self.request}: {error}") from error
            except _OtherStatus as error:
                raise Inconclusive(str(error)) from error

    def _write_undo(self, context: FaultContext, victim: Victim) -> None:
        before = victim.state_before(Running)
        parameters: dict[str, Any] = {
            "namespace": context.namespace,
            "pod": victim.name,
            "uid": victim.uid,
            "container": before.container,
            "containerID": before.container_id,
        }
        if isinstance(self.undo_by, PodHttp):
            parameters["request"] = self.undo_by.model_dump(mode="json", by_alias=True)
            text = f"send pod {victim.name} {self.undo_by}"
        else:
            text = f"nothing to send to pod {victim.name}: the end of container {before.container} undoes it"
        context.journal.write(self.kind, text, parameters)

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(f"{victim.name} {text}" for victim, (_, text) in zip(victims, outcomes, strict=True))
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        # ``inject`` raises without the expected answer.
        if all(entry.parameters.get("uid") != victim.uid for entry in context.journal.entries):
            return False, f"was not sent {self.request}"
        text = f"answered {self.request} as expected"
        if self.shows is None:
            return True, text
        pod = context.api.find(PODS, victim.name, context.namespace)
        if pod is None or pod["metadata"]["uid"] != victim.uid:
            return False, "is gone"
        restarted = _restarted(pod, victim.state_before(Running).container, victim.state_before(Running).container_id)
        if restarted:
            return True, f"{text}, and its container was restarted"
        if self.shows == "notReady" and not holds(pod, "Ready"):
            return True, f"{text}, and is not Ready"
        wanted = "is still Ready" if self.shows == "notReady" else "its container was not restarted"
        return False, f"{text}, but {wanted}"

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        name, namespace = parameters["pod"], parameters["namespace"]
        pod = cluster.api.find(PODS, name, namespace)
        if pod is None or pod["metadata"]["uid"] != parameters["uid"]:
            return f"pod {name} is gone, and its switches with it"
        restarted = _restarted(pod, parameters["container"], parameters["containerID"])
        if "request" not in parameters:
            state = "was restarted" if restarted else "still runs"
            return f"nothing to send to pod {name}: container {parameters['container']} {state}"
        again = PodHttp.model_validate(parameters["request"])
        try:
            again.send(cluster.api, namespace, name)
        except (OSError, ApiError, _OtherStatus) as error:
            if restarted:
                return f"container {parameters['container']} of pod {name} was restarted, and its switches were reset"
            # The pod may answer later; a status such as 404 would stay.
            if isinstance(error, OSError) or (isinstance(error, _OtherStatus) and error.status >= _SERVER_ERROR):
                raise NotYet(f"pod {name} did not answer {again}: {error}") from error
            raise
        return f"pod {name} answered {again}"


def _restarted(pod: Object, container: str, before: str) -> bool:
    return container_id(container_status(pod, container)) not in {"", before}
