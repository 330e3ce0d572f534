"""Find out where a target can be dialled: from this machine, and inside the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from harness.cluster.kube import routes
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import GATEWAYS, HTTP_ROUTES, INGRESSES, SERVICES
from harness.cluster.kube.services import (
    LOAD_BALANCER,
    address_inside,
    balancer_address,
    node_port_of,
    only_inside,
    port_of,
)
from harness.cluster.protocol import Cluster
from harness.common.clock import Clock
from harness.common.errors import ApiError, CapabilityMissing, ClusterRefused, Inconclusive, NotYet
from harness.common.timeouts import WORKLOAD_READY
from harness.engine.steps.credentials import Credentials
from harness.engine.steps.run import Run
from harness.safety.guard.hosts import Host, Resolve, host_refusal, resolve
from harness.traffic.target.credentials import TargetTls
from harness.traffic.target.declaration import Target
from harness.traffic.target.endpoint import Access, Endpoint, authority

LOOK_EVERY = 0.5
HTTP, HTTPS = 80, 443


def needed_for(targets: Iterable[Target]) -> frozenset[Permission]:
    """Return the permissions to find where targets are dialled, in addition to those for Services."""
    kinds = {"ingress": allow(INGRESSES, "get"), "httproute": allow(HTTP_ROUTES, "get") | allow(GATEWAYS, "get")}
    return frozenset().union(*(kinds.get(target.kind, frozenset()) for target in targets))


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a target can be dialled. ``why_not`` is the reason if it cannot be dialled from this machine.

    ``from_machine`` is for a process started with ``Cluster.load_command``, or in this machine's own network if
    ``outside`` is set; ``in_cluster`` is for one in a pod. ``secure`` means TLS; ``host`` is the one of the object or
    the URL, ``service`` the Service behind it, if known. ``note`` is what is special about the way, for the reader of
    the results.
    """

    from_machine: Endpoint | None
    in_cluster: Endpoint | None
    why_not: str = ""
    note: str = ""
    host: str = ""
    service: str = ""
    secure: bool = False
    outside: bool = False

    def dialled(self) -> Endpoint:
        """Return the endpoint for this machine. Raises CapabilityMissing if there is none."""
        if self.from_machine is None:
            raise CapabilityMissing(self.why_not)
        return self.from_machine

    def inside(self) -> Endpoint:
        """Return the endpoint for a pod of the cluster. Raises CapabilityMissing if there is none."""
        if self.in_cluster is None:
            raise CapabilityMissing(self.why_not)
        return self.in_cluster


def reach(cluster: Cluster, namespace: str, target: Target) -> Reach:
    """Return where a target of the cluster can be dialled at this moment.

    Raises NotYet while a controller has yet to report an address, Inconclusive if it can never be dialled, ApiError.
    """
    match target.kind:
        case "ingress":
            return _ingress(cluster, namespace, target)
        case "httproute":
            return _http_route(cluster, namespace, target)
    return _service(cluster, namespace, target.name, target.port)


def _found(cluster: Cluster, resource: Any, name: str, namespace: str) -> Any:  # noqa: ANN401 - an object
    try:
        return cluster.api.get(resource, name, namespace)
    except ApiError as error:
        if error.not_found:
            raise Inconclusive(f"{resource.kind} {name} does not exist in namespace {namespace}") from error
        raise


def _service(cluster: Cluster, namespace: str, name: str, wanted: str) -> Reach:
    found = _found(cluster, SERVICES, name, namespace)
    number, own = port_of(found, wanted), address_inside(found, wanted)
    if number is None or own is None:
        raise Inconclusive(f"Service {name} has no port {wanted}".rstrip())
    inside = Endpoint(*own)
    if cluster.inside:
        return Reach(inside, inside, service=name)
    if why := only_inside(found):
        return Reach(None, inside, why, service=name)
    balanced = found["spec"]["type"] == LOAD_BALANCER
    if balanced and (address := balancer_address(found)):
        return Reach(Endpoint(address, number), inside, service=name)
    note = f"Service {name} has no load balancer address, so its nodePort is used" if balanced else ""
    return _by_node_port(cluster, found, wanted, inside, note)


def _by_node_port(cluster: Cluster, service: Mapping[str, Any], wanted: str, inside: Endpoint, note: str) -> Reach:
    name, port = service["metadata"]["name"], node_port_of(service, wanted)
    if port is None:
        of = f" {wanted}" if wanted else ""
        if note:
            return Reach(
                None, inside, f"Service {name} has neither a load balancer address nor a nodePort{of}", service=name
            )
        raise Inconclusive(f"Service {name} has no nodePort{of}")
    try:
        address = cluster.node_port(port)
    except CapabilityMissing as error:
        return Reach(None, inside, str(error), service=name)
    return Reach(Endpoint(address.host, address.port), inside, note=note, service=name)


def _ingress(cluster: Cluster, namespace: str, target: Target) -> Reach:
    found = _found(cluster, INGRESSES, target.name, namespace)
    route = _route(routes.ingress_route, found, target)
    if target.via:
        return _via(cluster, namespace, target, route)
    address = routes.ingress_address(found)
    if not address:
        chosen = (found.get("spec") or {}).get("ingressClassName")
        of = f" for class {chosen}" if chosen else ""
        raise NotYet(
            f"Ingress {target.name} has no address: is there a controller{of}? If it reports none, set target.via"
        )
    secure = route.secure or target.secure
    return _at(Endpoint(address, HTTPS if secure else HTTP), route, secure=secure)


def _http_route(cluster: Cluster, namespace: str, target: Target) -> Reach:
    found = _found(cluster, HTTP_ROUTES, target.name, namespace)
    route = _route(routes.http_route, found, target)
    if target.via:
        return _via(cluster, namespace, target, route)
    parent = routes.accepted_parent(found)
    if isinstance(parent, str):
        raise NotYet(f"HTTPRoute {target.name} has no accepted parent: {parent}")
    gateway = _found(cluster, GATEWAYS, parent.name, parent.namespace or namespace)
    listener = routes.listener_of(gateway, parent, route.host, secure=target.secure)
    if isinstance(listener, str):
        raise NotYet(listener)
    secure = listener.secure or target.secure
    return _at(Endpoint(listener.address, listener.port), route, secure=secure)


def _route(read: Callable[[Any, str, str], routes.Route], item: Any, target: Target) -> routes.Route:  # noqa: ANN401
    try:
        return read(item, target.host or "", target.path or "")
    except ValueError as error:
        raise Inconclusive(str(error)) from error


def _via(cluster: Cluster, namespace: str, target: Target, route: routes.Route) -> Reach:
    """Return the reach through the controller's Service; by default its port for HTTPS or HTTP."""
    place, name, port = target.through
    secure = route.secure or target.secure
    found = _found(cluster, SERVICES, name, place or namespace)
    if not port:
        wanted = ("https", str(HTTPS)) if secure else ("http", str(HTTP))
        port = next((one for one in wanted if port_of(found, one) is not None), "")
    through = _service(cluster, place or namespace, name, port)
    outer = replace(through.from_machine, access=_access(route)) if through.from_machine else None
    inner = replace(through.in_cluster, access=_access(route)) if through.in_cluster else None
    return replace(through, from_machine=outer, in_cluster=inner, host=route.host, service=route.service, secure=secure)


def _at(endpoint: Endpoint, route: routes.Route, *, secure: bool) -> Reach:
    made = replace(endpoint, access=_access(route))
    return Reach(made, made, host=route.host or endpoint.host, service=route.service, secure=secure)


def _access(route: routes.Route) -> Access:
    return Access(authority=route.host, prefix=route.prefix)


def outside(target: Target, hosts: Sequence[Host], look_up: Resolve = resolve) -> Reach:
    """Return where the host of a URL is dialled: at its first address, so that no later answer can change it.

    Raises ClusterRefused if the guard does not allow the host or one of its addresses, Inconclusive without any.
    """
    host, port, prefix = target.address
    addresses = resolved(host, look_up)
    if refusal := host_refusal(hosts, host, addresses):
        raise ClusterRefused(f"the guard refuses: {refusal}")
    usual = HTTPS if target.secure else HTTP
    shown = target.host or (authority(host, port) if port != usual else f"[{host}]" if ":" in host else host)
    made = Endpoint(addresses[0], port, Access(authority=shown, prefix=prefix))
    why = f"{target} is outside of the cluster"
    return Reach(made, None, why, host=host, secure=target.secure, outside=True)


def resolved(host: str, look_up: Resolve = resolve) -> list[str]:
    """Return the addresses of a host. Raises Inconclusive if there are none."""
    try:
        return look_up(host)
    except OSError as error:
        raise Inconclusive(f"the host {host} cannot be resolved: {error.strerror or error}") from error


class Finder:
    """Finds the targets of one process, with what it needs to speak to them; ``secrets`` belong in its environment.

    Certificate files are relative to ``folder``. An address or a Secret that a controller has yet to provide is waited
    for up to ``seconds``. ``meanwhile`` is called on every check and may raise. ``hosts`` are those of the guard.
    ``within`` returns the namespace of a target; by default it is ``namespace``, that of the Secrets.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        folder: Path,
        clock: Clock,
        *,
        seconds: float = WORKLOAD_READY,
        meanwhile: Callable[[], None] = lambda: None,
        hosts: Sequence[Host] = (),
        within: Callable[[Target], str] | None = None,
    ) -> None:
        self.cluster, self.clock = cluster, clock
        self._within, self._hosts = within or (lambda _target: namespace), hosts
        self._seconds, self._meanwhile = seconds, meanwhile
        self._credentials = Credentials(
            cluster.api, namespace, folder, clock=clock, seconds=seconds, meanwhile=meanwhile
        )

    @classmethod
    def of(cls, run: Run, namespace: str, folder: Path, within: Callable[[Target], str] | None = None) -> Self:
        """Return the finder for one arm of an experiment of a run."""
        hosts, go_on = run.policy.hosts, run.go_on
        return cls(run.cluster, namespace, folder, run.clock, meanwhile=go_on, hosts=hosts, within=within)

    @property
    def secrets(self) -> Mapping[str, str]:
        """The environment variables that the endpoints found so far refer to."""
        return self._credentials.secrets

    def find(self, target: Target) -> Reach:
        """Return where and how a target can be dialled. Raises Inconclusive, ClusterRefused, ApiError."""
        found = outside(target, self._hosts) if target.kind == "url" else self._addressed(target)
        authorization = self._credentials.authorization(target.auth) if target.auth else ""
        secure = found.secure or target.secure
        tls = self._credentials.tls(target.tls or TargetTls(), target.server_name(found.host)) if secure else None

        def equipped(endpoint: Endpoint | None) -> Endpoint | None:
            if endpoint is None:
                return None
            own = endpoint.access.authority or target.host or ""
            access = replace(endpoint.access, authority=own, authorization=authorization, tls=tls)
            return replace(endpoint, access=access)

        return replace(
            found, from_machine=equipped(found.from_machine), in_cluster=equipped(found.in_cluster), secure=secure
        )

    def _addressed(self, target: Target) -> Reach:
        """Wait until an address is reported.

        A load balancer that reports none in time is passed by: the nodePort of its Service is dialled. An owned cluster
        has no load balancers, so there is no wait.
        """
        until = self.clock.monotonic() + self._seconds
        while True:
            self._meanwhile()
            late = self.clock.monotonic() >= until
            try:
                found = reach(self.cluster, self._within(target), target)
            except NotYet as error:
                if late:
                    raise Inconclusive(f"the target cannot be reached after {self._seconds:g} s: {error}") from error
            else:
                if late or not found.note or self.cluster.ownership is Ownership.OWNED:
                    return found
            self.clock.sleep(LOOK_EVERY)


def described(target: Target, found: Reach, endpoint: Endpoint) -> str:
    """Return one line about where a target is dialled: ``ingress/shop → https://shop.test/ at 198.18.0.12:443``."""
    access = endpoint.access
    url = f"{'https' if access.tls else 'http'}://{access.authority or endpoint}{access.prefix or '/'}"
    plain = target.kind == "service" and not access.tls and not target.host
    by_machine = endpoint == found.from_machine
    notes = [
        found.note if by_machine else "",
        "the server's certificate is not verified" if access.tls and access.tls.insecure else "",
    ]
    tail = "".join(f"; {note}" for note in notes if note)
    return f"{target} at {endpoint}{tail}" if plain else f"{target} → {url} at {endpoint}{tail}"
