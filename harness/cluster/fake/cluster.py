"""A cluster in memory, for tests of faults, probes and experiments. Public: use it in the tests of your extensions.

::

    cluster = FakeCluster()
    cluster.server.store.reactors += [DeploymentController(), Kubelet()]     # from harness.cluster.fake.controllers
    cluster.server.seed(deployment, namespace="shop")
    cluster.server.exec = lambda namespace, pod, container, command: ExecResult("ok", "", 0)
    cluster.server.fail_next(500, path="/pods")
    …
    assert [call.path for call in cluster.server.calls if call.writes] == […]

Time is a ``FakeClock`` unless another clock is given. Watches are real: they block until something changes, the watch's
time-out ends (in real seconds), ``interrupt`` is called, or ``server.drop_connections`` breaks them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from harness.cluster.fake.nodes import FakeNodes
from harness.cluster.fake.server import Call, FakeApiServer, Place
from harness.cluster.fake.store import Change
from harness.cluster.images import ImageOptions, ImageSource
from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.flags import flags_of_pods
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.port_forward import PodStream
from harness.cluster.kube.resources import Resource
from harness.cluster.kube.transport import ExecResult, Query, Request
from harness.cluster.protocol import NODE_CONTROL, Address, Capability
from harness.common.clock import Clock, FakeClock
from harness.common.errors import ApiError, CapabilityMissing
from harness.common.labels import Selector, parse_selector
from harness.common.progress import Progress


class FakeTransport:
    """A Transport to a ``FakeApiServer``."""

    def __init__(self, server: FakeApiServer) -> None:
        self._server = server
        self._interrupted = threading.Event()

    @property
    def server(self) -> str:
        # RFC 2606: names in .invalid never resolve, so a request that is sent by mistake reaches no server.
        return "https://fake.invalid"

    def send(self, request: Request) -> bytes:
        return self._server.handle(request)

    def stream(self, request: Request) -> Iterator[bytes]:
        self._server.admit(Call("WATCH", request.path, dict(request.query)))
        for event in self._events(self._server.locate(request.path), request.query):
            yield json.dumps(event).encode()

    def exec(self, namespace: str, pod: str, container: str | None, command: list[str], timeout: float) -> ExecResult:
        del timeout
        self._server.admit(Call("EXEC", f"/api/v1/namespaces/{namespace}/pods/{pod}/exec", {}, command))
        return self._server.exec(namespace, pod, container, command)

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> PodStream:
        del timeout
        self._server.admit(Call("FORWARD", f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward", {}))
        return self._server.forward(namespace, pod, port)

    def impersonate(self, user: str) -> None:
        """Do nothing: all users have the same permissions, see ``FakeApiServer.access``."""

    def clone(self) -> FakeTransport:
        return FakeTransport(self._server)

    def interrupt(self) -> None:
        self._interrupted.set()
        with self._server.store.changed:
            self._server.store.changed.notify_all()

    def close(self) -> None:
        self.interrupt()

    def _events(self, place: Place, query: Query) -> Iterator[Object]:
        store, selector = self._server.store, parse_selector(query.get("labelSelector", ""))
        ends = time.monotonic() + float(query.get("timeoutSeconds", 60))
        dropped = self._server.dropped
        seen = int(query.get("resourceVersion") or 0)
        # As on a real server, a watch without a version starts with the existing objects.
        if not seen:
            with store.changed:
                present = store.list(place.resource, place.namespace, query.get("labelSelector", ""))
                seen = store.version
            yield from ({"type": "ADDED", "object": item} for item in present)
        while True:
            with store.changed:
                self._wait(seen, dropped, ends)
                changes = [change for change in store.history if change.version > seen]
                too_old, version = seen < store.compacted, store.version
            if self._interrupted.is_set():
                return
            if self._server.dropped != dropped:
                raise ApiError(0, "ConnectionLost", f"watch {place.resource.plural}: dropped by the test")
            if too_old:
                # A real server reports it inside the stream too, as an event after a response with status 200.
                yield _expired(seen, store.compacted)
                return
            yield from (event for change in changes for event in _watch_events(change, place, selector))
            seen = version
            if time.monotonic() >= ends:
                yield {"type": "BOOKMARK", "object": _bookmark(place.resource, version)}
                return

    def _wait(self, seen: int, dropped: int, ends: float) -> None:
        store = self._server.store
        store.changed.wait_for(
            lambda: store.version > seen or self._interrupted.is_set() or self._server.dropped != dropped,
            ends - time.monotonic(),
        )


class FakeCluster:
    """A Cluster with a fake API server. Tests use ``server`` and ``machines`` to control and inspect it."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        name: str = "fake",
        capabilities: Iterable[Capability] = Capability,
        images: Sequence[str] | None = None,
        extra: Iterable[Resource] = (),
        ownership: Ownership = Ownership.OWNED,
        inside: bool = False,
    ) -> None:
        """Create a cluster. ``images`` are the names that ``image`` accepts (None: all); ``extra`` adds resources."""
        self.clock = clock or FakeClock()
        self.ownership = ownership
        self.inside = inside
        self.server = FakeApiServer(self.clock, extra)
        self.machines = FakeNodes(self.server)
        self._name = name
        self._capabilities = frozenset(capabilities)
        self._images = images
        # The images that the cluster cannot pull, each with the reason.
        self.unreachable: dict[str, str] = {}
        self.brought: list[str] = []
        # The flags of components that are no pods, by name.
        self.component_flags: dict[str, Mapping[str, str]] = {}
        self.image_options = ImageOptions()
        self._api = KubeApi(FakeTransport(self.server), self.clock)

    @property
    def provider(self) -> Literal["fake"]:
        return "fake"

    @property
    def name(self) -> str:
        return self._name

    @property
    def context(self) -> str:
        return self._name

    @property
    def kubeconfig(self) -> Path | None:
        return None

    @property
    def api(self) -> KubeApi:
        return self._api

    def capabilities(self) -> frozenset[Capability]:
        return self._capabilities

    def node_port(self, port: int) -> Address:
        if Capability.LOAD_BALANCED_SERVICE not in self._capabilities:
            raise CapabilityMissing(f"{self._name}: {Capability.LOAD_BALANCED_SERVICE}")
        return Address("127.0.0.1", port)

    def loopback(self, port: int) -> Address:
        return self.node_port(port)

    def load_command(self) -> Sequence[str]:
        return ()

    def load_host(self) -> str | None:
        return None

    def image(self, name: str) -> str:
        if self._images is not None and name not in self._images:
            raise CapabilityMissing(f"{self._name} has no image {name}")
        return f"fake.invalid/{name}:test"

    def no_runner_image(self) -> str:
        made = self._images is None or "runner" in self._images
        known = made and Capability.LOCAL_IMAGES in self._capabilities
        return "" if known else f"{self._name} has no image of the load generator"

    def runner_image(self, progress: Progress) -> str:
        del progress
        return self.image("runner")

    def use_images(self, options: ImageOptions) -> None:
        self.image_options = options

    def image_source(self, reference: str) -> ImageSource:
        missing = self.unreachable.get(reference, "")
        return ImageSource(reference, "" if missing else "pulled by the nodes", missing)

    def bring_images(
        self, references: Sequence[str], progress: Progress, present: Collection[str] = frozenset()
    ) -> None:
        del progress, present
        self.brought += references

    def flags(self, component: str) -> Mapping[str, str]:
        return self.component_flags.get(component) or flags_of_pods(self._api, component)

    def nodes(self) -> FakeNodes:
        if not self._capabilities >= NODE_CONTROL:
            raise CapabilityMissing(f"{self._name}: {'; '.join(sorted(NODE_CONTROL - self._capabilities))}")
        return self.machines

    def close(self) -> None:
        self._api.close()


def _watch_events(change: Change, place: Place, selector: Selector) -> Iterator[Object]:
    if change.resource != place.resource or place.namespace not in {None, change.namespace}:
        return
    matched = change.before is not None and selector.matches(change.before["metadata"].get("labels") or {})
    matches = selector.matches(change.object["metadata"].get("labels") or {})
    if change.type == "DELETED" or (matched and not matches):
        # As on a real server, an object that stops matching the selector is reported as deleted.
        if matched:
            yield {"type": "DELETED", "object": change.object}
    elif matches:
        yield {"type": "MODIFIED" if matched else "ADDED", "object": change.object}


def _bookmark(resource: Resource, version: int) -> Object:
    metadata = {"resourceVersion": str(version)}
    return {"apiVersion": resource.group_version, "kind": resource.kind, "metadata": metadata}


def _expired(seen: int, oldest: int) -> Object:
    message = f"too old resource version: {seen} ({oldest})"
    status = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": message}
    return {"type": "ERROR", "object": status}
