"""The client of the Kubernetes API: takes and returns unstructured objects.

A ``KubeApi`` is for one thread; ``clone`` makes one for another thread. Reads and idempotent writes are retried by the
policy in ``waiting``; creating and evicting are not, since the first attempt may have succeeded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from harness.cluster.kube.answers import read_list, read_object
from harness.cluster.kube.patience import Patience
from harness.cluster.kube.port_forward import PodStream
from harness.cluster.kube.read_only import ReadOnlyTransport
from harness.cluster.kube.resources import NAMESPACES, PODS, Resource
from harness.cluster.kube.transport import ExecResult, HttpTransport, Query, Request, Transport
from harness.common.clock import Clock, SystemClock
from harness.common.errors import ApiError, ClusterUnreachable, CredentialsFailed

Object = dict[str, Any]
Kept = TypeVar("Kept")

FIELD_MANAGER = "resilience-harness"
# The server ends a watch after WATCH_SECONDS and the client continues with another one. This distinguishes a server
# that is frozen or cut off from one without changes, within WATCH_SECONDS + WATCH_GRACE.
WATCH_SECONDS = 10
WATCH_GRACE = 5
# Items per page, as in client-go: a few megabytes of pods, so that neither side holds a whole large list as text. Since
# Kubernetes 1.34 pages come from the server's cache. resourceVersion=0 would ignore the limit and may be outdated.
PAGE = 500
# Only names, UIDs and versions; a server without support for it returns whole objects.
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


@dataclass(frozen=True, slots=True)
class Listing(Generic[Kept]):
    """The objects of a list, or what ``keep`` made of them, and the resourceVersion for a watch that continues it."""

    items: list[Kept]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch. ``type`` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class KubeApi:
    """A client of one API server. Every method raises ApiError."""

    def __init__(self, transport: Transport, clock: Clock | None = None) -> None:
        self._transport: Transport = transport
        self._clock = clock or SystemClock()
        self._discovered: dict[tuple[str, str], Resource] = {}
        self.patience = Patience(self._clock)

    @classmethod
    def connect(cls, kubeconfig: Path | None, context: str | None) -> KubeApi:
        """Return the client for a kubeconfig context. Raises ClusterUnreachable if the kubeconfig cannot be used.

        Does not connect to the server yet.
        """
        return cls(HttpTransport.from_kubeconfig(kubeconfig, context))

    @classmethod
    def in_cluster(cls) -> KubeApi:
        """Return the client for the cluster whose pod this process runs in. Raises ClusterUnreachable outside a pod."""
        return cls(HttpTransport.in_cluster())

    def clone(self) -> KubeApi:
        """Return a client with separate connections, for another thread."""
        return KubeApi(self._transport.clone(), self._clock)

    def impersonate(self, user: str) -> None:
        """Act as this user from now on, also in later clones; the kubeconfig's user needs permission to impersonate."""
        self._transport.impersonate(user)

    def read_only(self) -> None:
        """Change nothing from now on, also in later clones: calls that could change something raise ClusterRefused."""
        self._transport = ReadOnlyTransport(self._transport)

    def interrupt(self) -> None:
        """End every ``watch`` of this client at once and permanently, from any thread. Clones are not affected."""
        self._transport.interrupt()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._transport.server

    def version(self) -> str:
        """Return the server's version, such as ``v1.36.3``.

        Raises ClusterUnreachable if it does not answer like an API server, or if there are no credentials.
        """
        try:
            return str(read_object(self.raw("/version"))["gitVersion"])
        except CredentialsFailed as error:
            raise ClusterUnreachable(f"no credentials for {self.server}: {error}") from error
        except ApiError as error:
            what = "returned an error" if error.status else "does not answer"
            raise ClusterUnreachable(f"{self.server} {what}: {error}") from error
        except KeyError as error:
            message = "found no gitVersion in /version, expected a Kubernetes API server"
            raise ClusterUnreachable(f"{self.server}: {message}") from error

    def raw(self, path: str, query: Query | None = None, timeout: float = 10.0) -> bytes:
        """GET a path and return the response body."""
        return self._repeat(Request("GET", path, query or {}, timeout=timeout))

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        """Return one object. Raises ApiError 404 if it does not exist."""
        return read_object(self._repeat(Request("GET", resource.path(namespace, name))))

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """Return one object, or None if it does not exist."""
        try:
            return self.get(resource, name, namespace)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def list(self, resource: Resource, namespace: str | None = None, selector: str = "") -> Listing[Object]:
        """Return all objects that match a label selector, with kind and apiVersion filled in as in ``get``."""

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
        """Return the result of ``keep`` for each object, one at a time, so that a large list is never whole in memory.

        All pages are of the same instant, which is not before the call. Objects are as the server lists them, without
        kind and apiVersion; with ``metadata_only`` they may have only their metadata.
        """
        query = {"labelSelector": selector} if selector else {}
        accept = METADATA_ONLY if metadata_only else "application/json"
        request = Request("GET", resource.path(namespace), query, timeout=30.0, accept=accept)
        try:
            return self._digest(request, keep, {"limit": str(PAGE)})
        except ApiError as error:
            if not error.gone:
                raise
        # The first page's version was compacted before the last page was requested: get everything in one page.
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
        """Yield the events since a resourceVersion until the server ends the watch. After ApiError 410, list again."""
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
            # The status 200 was sent when the watch began, so a later error arrives as an event.
            if event["type"] == "ERROR":
                status = event["object"]
                raise ApiError(int(status.get("code", 0)), str(status.get("reason")), str(status.get("message")))
            yield WatchEvent(event["type"], event["object"])

    def create(self, resource: Resource, body: Object, namespace: str | None = None) -> Object:
        """Create an object and return it. Raises ApiError 409 if it exists."""
        return read_object(self._transport.send(Request("POST", resource.path(namespace), body=body)))

    def replace(self, resource: Resource, body: Object, namespace: str | None = None) -> Object:
        """Replace an object and return it.

        With a resourceVersion in the body, raises ApiError 409 if the object has changed since.
        """
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
        """Patch an object and return it. ``strategy`` is ``merge``, ``strategic-merge`` or ``json``."""
        path = resource.path(namespace, name, subresource)
        content_type = f"application/{strategy}-patch+json"
        return read_object(self._repeat(Request("PATCH", path, body=body, content_type=content_type)))

    def apply(self, body: Object, namespace: str | None = None, *, dry_run: bool = False, force: bool = True) -> Object:
        """Server-side apply an object of any kind, whose resource is discovered, and return it.

        ``dry_run`` changes nothing: the server only checks the object, including with its admission webhooks. Without
        ``force``, raises ApiError 409 if another manager has changed a field to another value.
        """
        resource = self.discover(body["apiVersion"], body["kind"])
        namespace = body["metadata"].get("namespace") or namespace
        request = Request(
            "PATCH",
            resource.path(namespace, body["metadata"]["name"]),
            # Kubernetes recommends that controllers override conflicts, since no user is present who could resolve
            # them.
            {"fieldManager": FIELD_MANAGER, "force": str(force).lower()} | ({"dryRun": "All"} if dry_run else {}),
            body,
            # This content type selects server-side apply; JSON is valid YAML.
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
        """Delete an object. With a ``uid``, raises ApiError 409 if the object has another one."""
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
        """Evict a pod. Raises ApiError 429 if a disruption budget forbids it; never retried, so the caller sees it.

        ``dry_run`` changes nothing: the server only checks whether it would evict the pod now.
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
        """Run a command in a container and wait up to ``timeout`` seconds for it."""
        timeout = self.patience.left(timeout, f"exec in {pod}")
        return self._transport.exec(namespace, pod, container, [*command], timeout)

    def forward(self, namespace: str, pod: str, port: int, timeout: float = 10.0) -> PodStream:
        """Connect to a port of a pod, through the API server and the kubelet."""
        return self._transport.forward(namespace, pod, port, self.patience.left(timeout, f"connection to {pod}"))

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        previous: bool = False,
        tail: int = 500,
        timestamps: bool = False,
    ) -> str:
        """Return the last lines of a container's log; with ``timestamps`` each begins with its time and a space."""
        query = {"container": container, "tailLines": str(tail), "previous": str(previous).lower()}
        if timestamps:
            query["timestamps"] = "true"
        return self.raw(PODS.path(namespace, pod, "log"), query).decode(errors="replace")

    def discover(self, api_version: str, kind: str) -> Resource:
        """Return the resource of a kind. Raises ApiError 404 if the cluster has no such kind."""
        key = (api_version, kind)
        if key not in self._discovered:
            base = Resource(api_version, "", kind).base
            for entry in json.loads(self.raw(base))["resources"]:
                # Discovery lists subresources too, such as pods/log.
                if "/" not in entry["name"]:
                    found = Resource(api_version, entry["name"], entry["kind"], entry["namespaced"])
                    self._discovered[api_version, entry["kind"]] = found
        if key not in self._discovered:
            raise ApiError(404, "NotFound", f"the cluster has no kind {kind} in {api_version}")
        return self._discovered[key]

    def service_proxy(
        self, namespace: str, service: str, port: int | str, path: str, query: Mapping[str, str]
    ) -> bytes:
        """GET a path of a Service through the API server's proxy, which works with any kubeconfig."""
        proxy = f"/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy/{path.lstrip('/')}"
        return self.raw(proxy, dict(query), timeout=15.0)

    def namespace_exists(self, name: str) -> bool:
        """Return whether a namespace of this name exists, even if it is terminating."""
        return self.find(NAMESPACES, name) is not None

    def _repeat(self, request: Request) -> bytes:
        return self.patience.send(self._transport, request)
