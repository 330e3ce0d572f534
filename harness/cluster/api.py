"""The Kubernetes API as the harness uses it: unstructured objects in, unstructured objects out.

One ``KubeApi`` serves one thread; ``clone`` makes another for the next. Reads and idempotent writes are retried by the
one policy in ``waiting``; creating and evicting are not, since the first try may have worked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from harness.clock import Clock, SystemClock
from harness.cluster.answers import read_list, read_object
from harness.cluster.patience import Patience
from harness.cluster.read_only import ReadOnlyTransport
from harness.cluster.resources import NAMESPACES, PODS, Resource
from harness.cluster.transport import ExecResult, HttpTransport, Query, Request, Transport
from harness.errors import ApiError, ClusterUnreachable

Object = dict[str, Any]
Kept = TypeVar("Kept")

FIELD_MANAGER = "resilience-harness"
# The server ends a watch after this long and the client starts another where it ended: that is how a peer that is
# frozen or cut off is told from one to which nothing happens. It is noticed within both of these.
WATCH_SECONDS = 10
WATCH_GRACE = 5
# What client-go asks for: a few megabytes of pods, so that neither side ever holds a whole large list as text. Since
# Kubernetes 1.34 pages come from the server's cache; resource version 0 would give all at once, and of an instant past.
PAGE = 500
# Names, UIDs and versions alone; a server that cannot leave the rest out answers with whole objects.
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


@dataclass(frozen=True, slots=True)
class Listing(Generic[Kept]):
    """The objects of a list, or what was kept of them, and the resourceVersion at which a watch continues it."""

    items: list[Kept]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch. ``type`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class KubeApi:
    """The calls that the harness makes. Every method raises ApiError."""

    def __init__(self, transport: Transport, clock: Clock | None = None) -> None:
        self._transport: Transport = transport
        self._clock = clock or SystemClock()
        self._discovered: dict[tuple[str, str], Resource] = {}
        self.patience = Patience(self._clock)

    @classmethod
    def connect(cls, kubeconfig: Path | None, context: str | None) -> KubeApi:
        """Of a kubeconfig. Raises ClusterUnreachable when it cannot be read; the server is not asked yet."""
        return cls(HttpTransport.from_kubeconfig(kubeconfig, context))

    @classmethod
    def in_cluster(cls) -> KubeApi:
        """Of the cluster that this process is a pod of. Raises ClusterUnreachable outside of a pod."""
        return cls(HttpTransport.in_cluster())

    def clone(self) -> KubeApi:
        """Another one with connections of its own, for another thread."""
        return KubeApi(self._transport.clone(), self._clock)

    def impersonate(self, user: str) -> None:
        """From now on act as this user, in clones too; the kubeconfig's own user must be allowed to."""
        self._transport.impersonate(user)

    def read_only(self) -> None:
        """From now on change nothing, in clones too: whatever would raises ClusterRefused."""
        self._transport = ReadOnlyTransport(self._transport)

    def interrupt(self) -> None:
        """End every ``watch`` of this API at once and for good, from any thread; a clone has watches of its own."""
        self._transport.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._transport.server

    def version(self) -> str:
        """The server's version, ``v1.36.3`` for instance. Raises ClusterUnreachable when nothing answers."""
        try:
            return str(json.loads(self.raw("/version"))["gitVersion"])
        except ApiError as error:
            raise ClusterUnreachable(f"{self.server} does not answer: {error}") from error

    def raw(self, path: str, query: Query | None = None, timeout: float = 10.0) -> bytes:
        """GET any path."""
        return self._repeat(Request("GET", path, query or {}, timeout=timeout))

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """One object. ApiError 404 when there is none."""
        return read_object(self._repeat(Request("GET", resource.path(namespace, name))))

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None when there is none."""
        try:
            return self.get(resource, name, namespace)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def list(self, resource: Resource, namespace: str | None = None, selector: str = "") -> Listing[Object]:
        """All objects that match a label selector, with their kind and version filled in as ``get`` would."""

        def complete(item: Object) -> Object:
            item.setdefault("apiVersion", resource.group_version)
            item.setdefault("kind", resource.kind)
            return item

        return self.digest(resource, namespace, selector, keep=complete)

    def digest(
        self,
        resource: Resource,
        namespace: str | None,
        selector: str,
        *,
        keep: Callable[[Object], Kept],
        metadata_only: bool = False,
    ) -> Listing[Kept]:
        """What ``keep`` makes of each object, one by one, so that a large list never is in memory as a whole.

        All pages show the same instant, never one before the call. Objects are as the server lists them, without kind
        and version; with ``metadata_only`` nothing but their metadata is sure to be there.
        """
        query = {"labelSelector": selector} if selector else {}
        accept = METADATA_ONLY if metadata_only else "application/json"
        request = Request("GET", resource.path(namespace), query, timeout=30.0, accept=accept)
        try:
            return self._digest(request, keep, {"limit": str(PAGE)})
        except ApiError as error:
            if not error.gone:
                raise
        # The past of the first page was compacted away before the last page was asked for: all of it at once, then.
        return self._digest(request, keep, {})

    def _digest(self, request: Request, keep: Callable[[Object], Kept], paging: dict[str, str]) -> Listing[Kept]:
        kept: list[Kept] = []
        while True:
            metadata, items = read_list(self._repeat(replace(request, query={**request.query, **paging})))
            kept += map(keep, items)
            if not metadata.get("continue"):
                return Listing(kept, str(metadata.get("resourceVersion", "")))
            paging["continue"] = str(metadata["continue"])

    def watch(
        self, resource: Resource, namespace: str | None, resource_version: str, selector: str = ""
    ) -> Iterator[WatchEvent]:
        """The events since a resourceVersion, until the server ends the watch. ApiError 410: list again."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        if selector:
            query["labelSelector"] = selector
        request = Request("GET", resource.path(namespace), query, timeout=float(WATCH_SECONDS + WATCH_GRACE))
        for line in self._transport.stream(request):
            event = orjson.loads(line)
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiError(int(status.get("code", 0)), str(status.get("reason")), str(status.get("message")))
            yield WatchEvent(event["type"], event["object"])

    def create(self, resource: Resource, body: Object, namespace: str | None = None) -> Object:
        """Create; ApiError 409 when it exists."""
        return read_object(self._transport.send(Request("POST", resource.path(namespace), body=body)))

    def replace(self, resource: Resource, body: Object, namespace: str | None = None) -> Object:
        """Replace; with a resourceVersion in the body ApiError 409 when it has changed since."""
        path = resource.path(namespace, body["metadata"]["name"])
        return read_object(self._repeat(Request("PUT", path, body=body)))

    def patch(
        self,
        resource: Resource,
        name: str,
        body: Object | Sequence[Object],
        namespace: str | None = None,
        *,
        strategy: str = "merge",
        subresource: str | None = None,
    ) -> Object:
        """Patch. ``strategy`` is ``merge``, ``strategic-merge`` or ``json``."""
        path = resource.path(namespace, name, subresource)
        content_type = f"application/{strategy}-patch+json"
        return read_object(self._repeat(Request("PATCH", path, body=body, content_type=content_type)))

    def apply(self, body: Object, namespace: str | None = None) -> Object:
        """Server-side apply of an object of any kind; the cluster is asked where its kind lives."""
        resource = self.discover(body["apiVersion"], body["kind"])
        namespace = body["metadata"].get("namespace") or namespace
        request = Request(
            "PATCH",
            resource.path(namespace, body["metadata"]["name"]),
            {"fieldManager": FIELD_MANAGER, "force": "true"},
            body,
            # JSON is YAML: the server knows server-side apply by this type only.
            "application/apply-patch+yaml",
        )
        return read_object(self._repeat(request))

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
        propagation: str | None = None,
    ) -> None:
        """Delete. With a ``uid`` only the object that has it: ApiError 409 otherwise."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if propagation is not None:
            body["propagationPolicy"] = propagation
        self._repeat(Request("DELETE", resource.path(namespace, name), body=body))

    def evict(
        self,
        name: str,
        namespace: str,
        *,
        grace_seconds: int | None = None,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> None:
        """Evict a pod; ApiError 429 when a disruption budget forbids it, which is why it is never retried here.

        ``dry_run`` asks whether it would be evicted now, and changes nothing.
        """
        options: Object = {}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if dry_run:
            options["dryRun"] = ["All"]
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": options,
        }
        self._transport.send(Request("POST", PODS.path(namespace, name, "eviction"), body=body))

    def exec(
        self, namespace: str, pod: str, command: Sequence[str], container: str | None = None, timeout: float = 10.0
    ) -> ExecResult:
        """Run a command in a container and wait for it."""
        timeout = self.patience.left(timeout, f"exec in {pod}")
        return self._transport.exec(namespace, pod, container, [*command], timeout)

    def logs(self, namespace: str, pod: str, container: str, *, previous: bool = False, tail: int = 500) -> str:
        """The last lines of a container's log."""
        query = {"container": container, "tailLines": str(tail), "previous": str(previous).lower()}
        return self.raw(PODS.path(namespace, pod, "log"), query).decode(errors="replace")

    def discover(self, api_version: str, kind: str) -> Resource:
        """Where a kind lives. ApiError 404 when the cluster has no such kind."""
        key = (api_version, kind)
        if key not in self._discovered:
            base = Resource(api_version, "", kind).base
            for entry in json.loads(self.raw(base))["resources"]:
                if "/" not in entry["name"]:
                    found = Resource(api_version, entry["name"], entry["kind"], entry["namespaced"])
                    self._discovered[api_version, entry["kind"]] = found
        if key not in self._discovered:
            raise ApiError(404, "NotFound", f"the cluster has no kind {kind} in {api_version}")
        return self._discovered[key]

    def service_proxy(
        self, namespace: str, service: str, port: int | str, path: str, query: Mapping[str, str]
    ) -> bytes:
        """GET a path of a Service by way of the API server: works with any kubeconfig, without a port-forward."""
        proxy = f"/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy/{path.lstrip('/')}"
        return self.raw(proxy, dict(query), timeout=15.0)

    def namespace_exists(self, name: str) -> bool:
        """Whether there is a namespace of this name, terminating ones included."""
        return self.find(NAMESPACES, name) is not None

    def _repeat(self, request: Request) -> bytes:
        return self.patience.send(self._transport, request)
