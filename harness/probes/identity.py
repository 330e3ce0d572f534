"""Identity: under which name, address, DNS record and volumes each pod of a StatefulSet is there."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.resources import PODS, STATEFUL_SETS, VOLUME_CLAIMS
from harness.errors import ApiError, TimedOut
from harness.observation import Observation
from harness.probe import ProbeContext, SnapshotProbe
from harness.probes.conditions import is_serving
from harness.probes.name_lookup import LookupFailed, look_up
from harness.waiting import wait_until

SERIES = "identity"
# CoreDNS may serve a record for 30 s after it has changed (the cache of its usual configuration).
DNS_FOLLOWS = 35.0


class Identity(SnapshotProbe, BaseModel):
    """Series ``identity``, subject ``<pod>``: {"uid", "ip", "claims": {volume: [claim, volume's name]}, "dns"}.

    ``dns`` holds the addresses that another pod of the set, or itself, is told for ``<pod>.<service>``; it is given the
    time that a cached record lives to come true. None, with "dns_error", when that could not be asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = "identity"

    of: Annotated[str, StringConstraints(pattern=r"^statefulset/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")] = Field(
        description="the StatefulSet, such as statefulset/etcd"
    )

    @property
    def permissions(self) -> frozenset[Permission]:
        asking = allow(PODS, "list") | allow(PODS, *EXEC_VERBS, part="exec")
        return asking | allow(STATEFUL_SETS, "get") | allow(VOLUME_CLAIMS, "get")

    def look(self, context: ProbeContext) -> None:
        try:
            owner = context.cluster.api.get(STATEFUL_SETS, self.of.partition("/")[2], context.namespace)
            pods = _members(context.cluster.api, owner)
        except ApiError as error:
            _note(context, self.of, error=str(error))
            return
        for pod in pods:
            try:
                _note(context, pod["metadata"]["name"], self._describe(context, pod, owner, pods))
            except ApiError as error:
                _note(context, pod["metadata"]["name"], error=str(error))

    def _describe(self, context: ProbeContext, pod: Object, owner: Object, pods: list[Object]) -> dict[str, Any]:
        value: dict[str, Any] = {
            "uid": pod["metadata"]["uid"],
            "ip": pod.get("status", {}).get("podIP", ""),
            "claims": _claims(context.cluster.api, pod),
        }
        service = owner["spec"].get("serviceName")
        asking = next((other["metadata"]["name"] for other in pods if is_serving(other)), None)
        if not service or asking is None:
            return {**value, "dns": None, "dns_error": "no pod of the set is ready" if service else "it has no service"}
        try:
            dns = _settled(context, asking, f"{pod['metadata']['name']}.{service}", value["ip"])
        except LookupFailed as error:
            return {**value, "dns": None, "dns_error": str(error)}
        return {**value, "dns": dns}


def _settled(context: ProbeContext, asking: str, name: str, expected: str) -> list[str]:
    found: list[str] = []

    def look() -> tuple[bool | None, str]:
        found[:] = look_up(context.cluster.api, context.namespace, asking, name)
        return (True if expected in found else None), ", ".join(found)

    try:
        wait_until(f"{name} leads to {expected}", look, DNS_FOLLOWS, context.clock, every=1.0)
    except TimedOut:
        # A record that stays wrong is an observation, not an error.
        return found
    return found


def _members(api: KubeApi, owner: Object) -> list[Object]:
    meta = owner["metadata"]
    return [
        pod
        for pod in api.list(PODS, meta["namespace"]).items
        if any(reference.get("uid") == meta["uid"] for reference in pod["metadata"].get("ownerReferences") or ())
    ]


def _claims(api: KubeApi, pod: Object) -> dict[str, list[str]]:
    claims: dict[str, list[str]] = {}
    for volume in pod["spec"].get("volumes") or ():
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim:
            found = api.find(VOLUME_CLAIMS, claim, pod["metadata"]["namespace"])
            claims[volume["name"]] = [claim, ((found or {}).get("spec") or {}).get("volumeName") or ""]
    return claims


def _note(context: ProbeContext, subject: str, value: Any = None, error: str | None = None) -> None:  # noqa: ANN401
    at = context.timeline.offset(context.clock.monotonic())
    context.timeline.add(Observation(SERIES, subject, at, value, error))
