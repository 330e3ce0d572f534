"""The REST surface of the fake API server: paths to verbs, programmed failures, a record of every call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from harness.clock import Clock
from harness.cluster import resources as known
from harness.cluster.api import Object
from harness.cluster.fake_access import FakeAccess
from harness.cluster.fake_patches import json_patch, merge_patch, strategic_merge
from harness.cluster.fake_store import Store
from harness.cluster.permissions import is_review
from harness.cluster.resources import BUDGETS, NAMESPACES, PODS, Resource
from harness.cluster.transport import ExecResult, Request
from harness.errors import ApiError
from harness.labels import parse_selector

# What workloads are made of beyond the resources that the harness itself works with.
_OTHERS = (
    Resource("v1", "secrets", "Secret"),
    Resource("v1", "serviceaccounts", "ServiceAccount"),
    Resource("v1", "persistentvolumes", "PersistentVolume", namespaced=False),
    Resource("batch/v1", "jobs", "Job"),
    Resource("rbac.authorization.k8s.io/v1", "roles", "Role"),
    Resource("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
    Resource("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", namespaced=False),
    Resource("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
)
CATALOGUE = (*(value for value in vars(known).values() if isinstance(value, Resource)), *_OTHERS)
INITIAL_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic_merge,
    "application/json-patch+json": json_patch,
    # Owners of fields are not kept: applying creates, or merges as a strategic patch would.
    "application/apply-patch+yaml": strategic_merge,
}

ExecHandler = Callable[[str, str, str | None, Sequence[str]], ExecResult]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that reached the server, in the order of arrival. ``method`` is the HTTP method, WATCH or EXEC."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any = None

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method not in {"GET", "WATCH"} and not is_review(self.method, self.path)

    @property
    def namespace(self) -> str | None:
        """The namespace that it is about; None for cluster-wide calls."""
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


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names."""

    resource: Resource
    namespace: str | None
    name: str
    part: str


class FakeApiServer:
    """An API server in memory. Shared by the transports of all threads.

    ``store`` holds the objects and takes reactors; ``calls`` is the record; ``exec`` answers commands in containers;
    ``pages`` answers other GETs by the beginning of their path (a Service's proxy, a pod's log).
    """

    def __init__(self, clock: Clock, extra: Iterable[Resource] = (), version: str = "v1.36.3") -> None:
        self.store = Store(clock)
        self.calls: list[Call] = []
        self.exec: ExecHandler = _no_commands
        self.pages: dict[str, Callable[[Mapping[str, str]], bytes]] = {
            "/version": lambda _query: json.dumps({"gitVersion": version}).encode(),
        }
        # Who may do what; without it everybody may do everything.
        self.access: FakeAccess | None = None
        self.dropped = 0
        self._failures: list[_Failure] = []
        self._resources = {(item.base, item.plural): item for item in (*CATALOGUE, *extra)}
        for name in INITIAL_NAMESPACES:
            self.store.create(NAMESPACES, "", {"metadata": {"name": name}})

    def seed(self, *objects: Object, namespace: str = "") -> list[Object]:
        """Put objects in as they are, status included, without a call; a missing namespace is made."""
        seeded = []
        for item in objects:
            resource = self.resource_of(item["apiVersion"], item["kind"])
            place = item["metadata"].get("namespace") or namespace
            if resource.namespaced and place not in self.namespaces():
                self.store.create(NAMESPACES, "", {"metadata": {"name": place}})
            seeded.append(self.store.create(resource, place, item, with_status=True))
        return seeded

    def namespaces(self) -> list[str]:
        """The names of all namespaces."""
        return [item["metadata"]["name"] for item in self.store.list(NAMESPACES)]

    def resource_of(self, api_version: str, kind: str) -> Resource:
        """ApiError 404 when the server does not know the kind."""
        for resource in self._resources.values():
            if (resource.group_version, resource.kind) == (api_version, kind):
                return resource
        raise ApiError(404, "NotFound", f"the fake cluster has no kind {kind} in {api_version}")

    def fail_next(
        self, status: int, reason: str = "", message: str = "", *, count: int = 1, method: str = "", path: str = ""
    ) -> None:
        """Answer the next ``count`` calls with an error instead: status 0 is a connection that failed.

        With ``method`` or ``path`` (a part of it) only calls that fit. The calls are recorded and change nothing.
        """
        reason = reason or ("InternalError" if status else "ConnectionFailed")
        self._failures.append(_Failure(status, reason, message or "programmed by the test", count, method, path))

    def drop_connections(self) -> None:
        """Break every watch that is open now, as the loss of the API server would."""
        with self.store.changed:
            self.dropped += 1
            self.store.changed.notify_all()

    def handle(self, request: Request) -> bytes:
        """Answer one request that is no watch."""
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
        """Record a call; raise the failure that was programmed for it."""
        self.calls.append(call)
        if self.access:
            self.access.check(call.method, call.path)
        for failure in self._failures:
            if failure.count and failure.method in {"", call.method} and failure.path in call.path:
                failure.count -= 1
                raise ApiError(failure.status, failure.reason, f"{call.method} {call.path}: {failure.message}")

    def locate(self, path: str) -> Place:
        """What a path names. ApiError 404 for what the server does not serve."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        depth = 2 if parts[0] == "api" else 3
        base, rest = "/" + "/".join(parts[:depth]), parts[depth:]
        namespace = None
        if len(rest) > 2 and rest[0] == "namespaces" and (base, rest[2]) in self._resources:
            namespace, rest = rest[1], rest[2:]
        resource = self._resources.get((base, rest[0] if rest else ""))
        if resource is None or len(rest) > 3:
            raise ApiError(404, "NotFound", f"the server could not find the requested resource: {path}")
        return Place(resource, namespace, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else "")

    def _discovery(self, path: str) -> Object | None:
        found = [resource for (base, _), resource in self._resources.items() if base == path]
        if not found:
            return None
        entries = [{"name": item.plural, "kind": item.kind, "namespaced": item.namespaced} for item in found]
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
        # As a real server does: the items of a typed list name neither their kind nor their version.
        bare = [{key: value for key, value in item.items() if key not in {"apiVersion", "kind"}} for item in items]
        return {"kind": f"{place.resource.kind}List", "metadata": {"resourceVersion": version}, "items": bare}

    def _patch(self, request: Request, place: Place) -> Object:
        namespace, patch = place.namespace or "", _PATCHES[request.content_type]
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
            for budget in self.store.list(BUDGETS, namespace):
                labels = (budget["spec"].get("selector") or {}).get("matchLabels") or {}
                selector = parse_selector(",".join(f"{key}={value}" for key, value in labels.items()))
                if selector.matches(pod["metadata"].get("labels") or {}):
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


def _no_commands(namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
    return ExecResult("", f"no handler for {command[0]} in {namespace}/{pod}/{container or ''}", 126)
