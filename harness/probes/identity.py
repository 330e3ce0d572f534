"""Identity: the name, address, DNS record and volumes of each pod of a StatefulSet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.owners import is_owned_by
from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.kube.resources import PODS, STATEFUL_SETS, VOLUME_CLAIMS
from harness.common.errors import ApiError, TimedOut
from harness.common.waiting import wait_until
from harness.model.timeline import Observation
from harness.probes.base import ProbeContext, SnapshotProbe
from harness.probes.conditions import is_serving
from harness.probes.name_lookup import LookupFailed, resolve_name

SERIES = "identity"
# Seconds. CoreDNS caches a record for 30 s in its usual configuration.
DNS_FOLLOWS = 35.0


class Identity(SnapshotProbe, BaseModel):
    """Record the UID, address, volumes and DNS record of each pod of a StatefulSet.

    Series ``identity``, subject ``<pod>``: {"uid", "ip", "claims": {volume: [claim, volume's name]}, "dns"}.
    ``dns`` has the addresses of ``<pod>.<service>``, resolved in a ready pod of the set. The probe waits up to 35 s for
    the pod's present address, since the old record may be cached. ``dns`` is None, with "dns_error", if the lookup
    failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = "identity"
    example: ClassVar[Mapping[str, Any]] = {"of": "statefulset/db"}

    of: Annotated[str, StringConstraints(pattern=r"^statefulset/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")] = Field(
        description="the StatefulSet whose pods are inspected, such as statefulset/etcd"
    )

    @property
    def permissions(self) -> frozenset[Permission]:
        lookups = allow(PODS, "list") | allow(PODS, *EXEC_VERBS, part="exec")
        return lookups | allow(STATEFUL_SETS, "get") | allow(VOLUME_CLAIMS, "get")

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
        resolver = next((other["metadata"]["name"] for other in pods if is_serving(other)), None)
        if not service or resolver is None:
            return {**value, "dns": None, "dns_error": "no pod of the set is ready" if service else "it has no service"}
        try:
            dns = _settled(context, resolver, f"{pod['metadata']['name']}.{service}", value["ip"])
        except LookupFailed as error:
            return {**value, "dns": None, "dns_error": str(error)}
        return {**value, "dns": dns}


def _settled(context: ProbeContext, resolver: str, name: str, expected: str) -> list[str]:
    found: list[str] = []

    def look() -> tuple[bool | None, str]:
        found[:] = resolve_name(context.cluster.api, context.namespace, resolver, name)
        return (True if expected in found else None), ", ".join(found)

    try:
        wait_until(f"{name} to resolve to {expected}", look, DNS_FOLLOWS, context.clock, every=1.0)
    except TimedOut:
        # A record that stays wrong is an observation, not an error.
        return found
    return found


def _members(api: KubeApi, owner: Object) -> list[Object]:
    meta = owner["metadata"]
    return [pod for pod in api.list(PODS, meta["namespace"]).items if is_owned_by(pod, meta["uid"])]


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
