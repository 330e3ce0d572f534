"""Identity: the name, hostname, address, DNS record and volumes of each pod of a StatefulSet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.owners import is_owned_by
from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.kube.resources import PODS, STATEFUL_SETS, VOLUME_CLAIMS
from harness.common.errors import ApiError, TimedOut
from harness.common.waiting import wait_until
from harness.model.quantities import Duration
from harness.model.timeline import Observation
from harness.probes.base import ProbeContext, SnapshotProbe
from harness.probes.conditions import is_serving
from harness.probes.name_lookup import LookupFailed, resolve_name

SERIES = "identity"
# Seconds. CoreDNS caches a record for 30 s in its usual configuration.
DNS_FOLLOWS = 35.0


class Identity(SnapshotProbe, BaseModel):
    """Record the UID, hostname, address, volumes and DNS record of each pod of a StatefulSet.

    Series ``identity``, subject ``<pod>``: {"uid", "hostname", "ip", "claims": {volume: [claim, volume's name]},
    "dns"}. ``hostname`` is what the program of this name prints in the pod, None if that fails. ``dns`` has the
    addresses of ``<pod>.<service>``, resolved in a ready pod of the set. The probe waits up to ``dnsWithin`` for the
    pods' present addresses, since old records may be cached. ``dns`` is None, with "dns_error", if the lookup failed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    kind: ClassVar[str] = "identity"
    example: ClassVar[Mapping[str, Any]] = {"of": "statefulset/db"}

    of: Annotated[str, StringConstraints(pattern=r"^statefulset/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")] = Field(
        description="the StatefulSet whose pods are inspected, such as statefulset/etcd"
    )
    dns_within: Annotated[Duration, Field(gt=0)] = Field(
        default=DNS_FOLLOWS,
        description="how long to wait for the DNS records of all pods, which name servers may keep for a while; less "
        "is enough where they keep none of the cluster's own",
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
        deadline = context.clock.monotonic() + self.dns_within
        for pod in pods:
            try:
                _note(context, pod["metadata"]["name"], _describe(context, pod, owner, pods, deadline))
            except ApiError as error:
                _note(context, pod["metadata"]["name"], error=str(error))


def _describe(context: ProbeContext, pod: Object, owner: Object, pods: list[Object], deadline: float) -> dict[str, Any]:
    value: dict[str, Any] = {
        "uid": pod["metadata"]["uid"],
        "hostname": _hostname(context.cluster.api, pod),
        "ip": pod.get("status", {}).get("podIP", ""),
        "claims": _claims(context.cluster.api, pod),
    }
    service = owner["spec"].get("serviceName")
    resolver = next((other["metadata"]["name"] for other in pods if is_serving(other)), None)
    if not service or resolver is None:
        return {**value, "dns": None, "dns_error": "no pod of the set is ready" if service else "it has no service"}
    try:
        dns = _settled(context, resolver, f"{pod['metadata']['name']}.{service}", value["ip"], deadline)
    except LookupFailed as error:
        return {**value, "dns": None, "dns_error": str(error)}
    return {**value, "dns": dns}


def _hostname(api: KubeApi, pod: Object) -> str | None:
    if not is_serving(pod):
        return None
    meta = pod["metadata"]
    try:
        result = api.exec(meta["namespace"], meta["name"], ["hostname"], pod["spec"]["containers"][0]["name"])
    except ApiError:
        # Many images do not have the program.
        return None
    return None if result.exit_code else result.stdout.strip() or None


def _settled(context: ProbeContext, resolver: str, name: str, expected: str, deadline: float) -> list[str]:
    found: list[str] = []

    def look() -> tuple[bool | None, str]:
        found[:] = resolve_name(context.cluster.api, context.namespace, resolver, name)
        return (True if expected in found else None), ", ".join(found)

    try:
        left = max(0.0, deadline - context.clock.monotonic())
        wait_until(f"{name} to resolve to {expected}", look, left, context.clock, every=1.0)
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
        if "ephemeral" in volume:
            # The claim of a generic ephemeral volume lives as long as its pod, and is named after both.
            claim = f"{pod['metadata']['name']}-{volume['name']}"
        if claim:
            found = api.find(VOLUME_CLAIMS, claim, pod["metadata"]["namespace"])
            claims[volume["name"]] = [claim, ((found or {}).get("spec") or {}).get("volumeName") or ""]
    return claims


def _note(context: ProbeContext, subject: str, value: Any = None, error: str | None = None) -> None:  # noqa: ANN401
    at = context.timeline.offset(context.clock.monotonic())
    context.timeline.add(Observation(SERIES, subject, at, value, error))
