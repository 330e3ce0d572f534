"""The REST interface of the fake API server: routes paths to verbs, injects errors, and records every call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from harness.cluster.fake.access import FakeAccess
from harness.cluster.fake.patches import applied, json_patch, strategic
from harness.cluster.fake.store import Store
from harness.cluster.kube import published
from harness.cluster.kube import resources as known
from harness.cluster.kube.client import Object
from harness.cluster.kube.patches.strategic import merge_patch
from harness.cluster.kube.permissions import is_review
from harness.cluster.kube.port_forward import PodStream
from harness.cluster.kube.resources import BUDGETS, NAMESPACES, PODS, Resource
from harness.cluster.kube.transport import ExecResult, Request
from harness.common.clock import Clock
from harness.common.errors import ApiError
from harness.common.labels import matches_labels

INITIAL_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic,
    "application/json-patch+json": json_patch,
    "application/apply-patch+yaml": applied,
}

ExecHandler = Callable[[str, str, str | None, Sequence[str]], ExecResult]
ForwardHandler = Callable[[str, str, int], PodStream]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that reached the server. ``method`` is the HTTP method, WATCH, EXEC or FORWARD."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any = None

    @property
    def writes(self) -> bool:
        """Whether the call may change something."""
        reads = self.method in {"GET", "WATCH"} or is_review(self.method, self.path)
        return not reads and self.query.get("dryRun") != "All"

    @property
    def namespace(self) -> str | None:
        """The namespace in the path; None for cluster-wide calls."""
        parts = self.path.split("/")
        return parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else None


@dataclass
class _Failure:
    status: int
    reason: str
    message: str
    count: int
    method: str
    path: str
    dry_run: bool

    def fits(self, call: Call) -> bool:
        return self.method in {"", call.method} and self.path in call.path


@dataclass(frozen=True, slots=True)
class Place:
    """The resource, object and subresource in a path."""

    resource: Resource
    namespace: str | None
    name: str
    part: str


class FakeApiServer:
    """An API server in memory. Shared by the transports of all threads.

    ``store`` has the objects and the reactors; ``calls`` are the recorded calls; ``exec`` handles commands in
    containers, ``forward`` connections to pods; ``pages`` handles other GETs by a prefix of their path (a Service's
    proxy, a pod's log).
    """

    def __init__(self, clock: Clock, extra: Iterable[Resource] = (), version: str = "v1.36.3") -> None:
        self.store = Store(clock)
        self.calls: list[Call] = []
        self.exec: ExecHandler = _no_commands
        self.forward: ForwardHandler = _no_ports
        self.pages: dict[str, Callable[[Mapping[str, str]], bytes]] = {
            "/version": lambda _query: json.dumps({"gitVersion": version}).encode(),
        }
        # The permissions of all callers; None permits everything.
        self.access: FakeAccess | None = None
        self.dropped = 0
        self._failures: list[_Failure] = []
        self._resources: dict[tuple[str, str], Resource] = {}
        for resource in (*published.kinds().values(), *_used_by_the_harness(), *extra):
            self.serve(resource)
        for name in INITIAL_NAMESPACES:
            self.store.create(NAMESPACES, "", {"metadata": {"name": name}})

    def serve(self, resource: Resource) -> None:
        """Add a kind, like a CustomResourceDefinition."""
        self._resources[resource.base, resource.plural] = resource

    def seed(self, *objects: Object, namespace: str = "") -> list[Object]:
        """Store objects with their status, without a recorded call; missing namespaces are created."""
        seeded = []
        for item in objects:
            resource = self.resource_of(item["apiVersion"], item["kind"])
            place = item["metadata"].get("namespace") or namespace
            if resource.namespaced and place not in self.namespaces():
                self.store.create(NAMESPACES, "", {"metadata": {"name": place}})
            seeded.append(self.store.create(resource, place, item, with_status=True))
        return seeded

    def namespaces(self) -> list[str]:
        """Return the names of all namespaces."""
        return [item["metadata"]["name"] for item in self.store.list(NAMESPACES)]

    def resource_of(self, api_version: str, kind: str) -> Resource:
        """Return the resource of a kind. Raises ApiError 404 if the server does not have it."""
        for resource in self._resources.values():
            if (resource.group_version, resource.kind) == (api_version, kind):
                return resource
        raise ApiError(404, "NotFound", f"the fake cluster has no kind {kind} in {api_version}")

    def fail_next(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        *,
        count: int = 1,
        method: str = "",
        path: str = "",
        dry_run: bool = False,
    ) -> None:
        """Make the next ``count`` calls fail with an error; status 0 is a failed connection.

        ``method`` and ``path`` (a part of it) limit this to matching calls. With ``dry_run`` only dry runs fail,
        without it only other calls. Failed calls are recorded and change nothing.
        """
        reason = reason or ("InternalError" if status else "ConnectionFailed")
        message = message or "programmed by the test"
        self._failures.append(_Failure(status, reason, message, count, method, path, dry_run))

    def drop_connections(self) -> None:
        """Break every open watch, as if the connection to the API server was lost."""
        with self.store.changed:
            self.dropped += 1
            self.store.changed.notify_all()

    def handle(self, request: Request) -> bytes:
        """Handle one request other than a watch, and return the response body. Raises ApiError."""
        self.admit(Call(request.method, request.path, dict(request.query), request.body))
        if is_review(request.method, request.path):
            allowed = {**request.body, "status": {"allowed": True}}
            return json.dumps(self.access.review(request.body) if self.access else allowed).encode()
        for prefix, page in self.pages.items():
            if request.method == "GET" and request.path.startswith(prefix):
                return page(request.query)
        if request.method == "GET" and (found := self._discovery(request.path)):
            return json.dumps(found).encode()
        answer = self._answer(request, self.locate(request.path))
        return json.dumps(answer).encode()

    def admit(self, call: Call) -> None:
        """Record a call. Raises ApiError if it is not permitted or ``fail_next`` applies to it."""
        self.calls.append(call)
        if self.access:
            self.access.check(call.method, call.path)
        for failure in self._failures:
            dry = call.query.get("dryRun") == "All"
            if failure.count and failure.dry_run == dry and failure.fits(call):
                failure.count -= 1
                raise ApiError(failure.status, failure.reason, f"{call.method} {call.path}: {failure.message}")

    def locate(self, path: str) -> Place:
        """Parse a path. Raises ApiError 404 if the server does not serve it."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        depth = 2 if parts[0] == "api" else 3
        base, rest = "/" + "/".join(parts[:depth]), parts[depth:]
        namespace = None
        # namespaces/NAME/status is a subresource of the namespace, not a resource in it.
        if len(rest) > 2 and rest[0] == "namespaces" and (base, rest[2]) in self._resources:
            namespace, rest = rest[1], rest[2:]
        resource = self._resources.get((base, rest[0] if rest else ""))
        if resource is None or len(rest) > 3:
            raise ApiError(404, "NotFound", f"the server could not find the requested resource: {path}")
        return Place(resource, namespace, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else "")

    def _discovery(self, path: str) -> Object | None:
        if path == "/apis":
            versions = dict.fromkeys(
                item.group_version for item in self._resources.values() if "/" in item.group_version
            )
            groups = [{"name": each.split("/")[0], "preferredVersion": {"groupVersion": each}} for each in versions]
            return {"kind": "APIGroupList", "groups": groups}
        found = [resource for (base, _), resource in self._resources.items() if base == path]
        if not found:
            return None
        verbs = ["get", "list", *([] if found[0] is known.POD_METRICS else ["create", "delete"])]
        entries = [
            {"name": item.plural, "kind": item.kind, "namespaced": item.namespaced, "verbs": verbs} for item in found
        ]
        return {"kind": "APIResourceList", "groupVersion": found[0].group_version, "resources": entries}

    def _answer(self, request: Request, place: Place) -> Object:
        verbs: dict[tuple[str, str], Callable[[Request, Place], Object]] = {
            ("GET", ""): self._read,
            ("POST", ""): self._create,
            ("POST", "eviction"): self._evict,
            ("PUT", ""): self._replace,
            ("PUT", "status"): self._replace,
            ("PATCH", ""): self._patch,
            ("PATCH", "status"): self._patch,
            ("PATCH", "ephemeralcontainers"): self._patch,
            ("DELETE", ""): self._delete,
        }
        verb = verbs.get((request.method, place.part))
        if verb is None:
            raise ApiError(405, "MethodNotAllowed", f"the fake cluster does not serve {request.method} {request.path}")
        return verb(request, place)

    def _read(self, request: Request, place: Place) -> Object:
        if place.name:
            return self.store.get(place.resource, place.namespace or "", place.name)
        return self._list(place, request.query.get("labelSelector", ""))

    def _create(self, request: Request, place: Place) -> Object:
        return self.store.create(place.resource, place.namespace or "", request.body)

    def _replace(self, request: Request, place: Place) -> Object:
        return self.store.update(place.resource, place.namespace or "", place.name, lambda _: request.body, place.part)

    def _delete(self, request: Request, place: Place) -> Object:
        self.store.delete(place.resource, place.namespace or "", place.name, request.body or {})
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _list(self, place: Place, selector: str) -> Object:
        with self.store.changed:
            items = self.store.list(place.resource, place.namespace, selector)
            version = str(self.store.version)
        # As on a real server, items of a typed list have neither kind nor apiVersion.
        bare = [{key: value for key, value in item.items() if key not in {"apiVersion", "kind"}} for item in items]
        return {"kind": f"{place.resource.kind}List", "metadata": {"resourceVersion": version}, "items": bare}

    def _patch(self, request: Request, place: Place) -> Object:
        namespace, patch = place.namespace or "", _PATCHES[request.content_type]
        if request.query.get("dryRun") == "All":
            # Not checked; a test that needs a refusal uses fail_next.
            return dict(request.body)
        try:
            return self.store.update(
                place.resource, namespace, place.name, lambda item: patch(item, request.body), place.part
            )
        except ApiError as error:
            if not error.not_found or "apply" not in request.content_type:
                raise
        if self.access:
            self.access.check_creation(request.content_type, place.resource.path(place.namespace))
        return self.store.create(place.resource, namespace, request.body)

    def _evict(self, request: Request, place: Place) -> Object:
        namespace, options = place.namespace or "", request.body.get("deleteOptions") or {}
        with self.store.changed:
            pod = self.store.get(PODS, namespace, place.name)
            labels = pod["metadata"].get("labels") or {}
            budgets = [
                budget
                for budget in self.store.list(BUDGETS, namespace)
                if matches_labels((budget.get("spec") or {}).get("selector"), labels)
            ]
            if len(budgets) > 1:
                raise ApiError(500, "InternalError", _SEVERAL_BUDGETS)
            for budget in budgets:
                self._spend(budget, namespace, dry_run=bool(options.get("dryRun")))
            self.store.delete(PODS, namespace, place.name, options)
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _spend(self, budget: Object, namespace: str, *, dry_run: bool) -> None:
        allowed = int(budget.get("status", {}).get("disruptionsAllowed", 0))
        if allowed < 1:
            why = f"The disruption budget {budget['metadata']['name']} allows no disruption now"
            message = f"Cannot evict pod as it would violate the pod's disruption budget. {why}"
            raise ApiError(429, "TooManyRequests", message)
        if not dry_run:
            spent = {**budget, "status": {**budget["status"], "disruptionsAllowed": allowed - 1}}
            self.store.update(BUDGETS, namespace, budget["metadata"]["name"], lambda _: spent, "status")


# The message of pkg/registry/core/pod/storage/eviction.go.
_SEVERAL_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


def _used_by_the_harness() -> list[Resource]:
    """Return the resources that the harness uses, including those not built into Kubernetes (metrics-server's)."""
    return [value for value in vars(known).values() if isinstance(value, Resource)]


def _no_commands(namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
    return ExecResult("", f"no handler for {command[0]} in {namespace}/{pod}/{container or ''}", 126)


def _no_ports(namespace: str, pod: str, port: int) -> PodStream:
    raise ApiError(0, "ConnectionFailed", f"no handler for port {port} of {namespace}/{pod}")
