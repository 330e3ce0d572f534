"""Check that a target of load or probes exists in the workload, and that its certificates can be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.cluster.kube.routes import Route, http_route, ingress_route
from harness.cluster.kube.services import LOAD_BALANCER, only_inside, ports_of
from harness.common.documents import Place
from harness.common.errors import InputError, Problem
from harness.experiment.load import Load
from harness.experiment.manifests import Workload
from harness.traffic.load.behaviour import Behaviour
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.target.credentials import read_pem, stored, variable
from harness.traffic.target.declaration import Target
from harness.traffic.target.endpoint import Tls
from harness.traffic.target.tls import context_of


def found_in(target: Target, workload: Workload | None, folder: Path) -> Iterator[tuple[Place, str]]:
    """Yield a message for each mistake in a target, with its place. Files are relative to ``folder``.

    Checks that need the workload are left out if it is None.
    """
    yield from (((), message) for message in (misfits(target, workload) if workload else ()))
    yield from wrong_files(target, folder)


def wrong_files(target: Target, folder: Path) -> Iterator[tuple[Place, str]]:
    """Yield a message for each certificate file that cannot be used, with its place. Paths are relative to a folder."""
    if target.tls is None:
        return
    texts: dict[str, str] = {}
    for field, source in target.tls.sources():
        if not (stored(source) or variable(source)):
            try:
                texts[field] = read_pem(folder / source)
            except ValueError as error:
                yield ("tls", field), f"found {source!r}, {error}"
    for fields in (("ca",), ("certificate", "key")):
        if not set(fields) <= set(texts):
            continue
        given = {field: texts[field] for field in fields}
        try:
            context_of(Tls("", given.get("ca", ""), given.get("certificate", "")), given.get("key", ""))
        except ValueError as error:
            yield ("tls", fields[0]), f"found {getattr(target.tls, fields[0])!r}: {error}"


def misfits(target: Target, workload: Workload) -> Iterator[str]:
    """Yield a message for everything about a target that the workload's manifests do not have."""
    for found in target.stored():
        item = workload.find(f"{found.kind}/{found.name}")
        keys = {key for part in ("data", "stringData") for key in (item or {}).get(part) or {}}
        if item and found.key not in keys:
            yield f"found {found.kind}/{found.name}:{found.key}, expected one of its keys: {', '.join(sorted(keys))}"
    match target.kind:
        case "service":
            yield from _wrong_service(target, workload)
        case "ingress" | "httproute":
            yield from _wrong_route(target, workload)


def _wrong_service(target: Target, workload: Workload) -> Iterator[str]:
    service = workload.find(f"service/{target.name}")
    if service is None:
        yield f"found {target}, but the workload has no Service {target.name}"
    elif service["spec"].get("type") == "ExternalName":
        yield f"found Service {target.name} of type ExternalName, expected one with pods behind it"
    elif target.port and target.port not in ports_of(service):
        known = ", ".join(ports_of(service))
        yield f"found port {target.port}, expected one of {known} of Service {target.name}"


def _wrong_route(target: Target, workload: Workload) -> Iterator[str]:
    found = workload.find(f"{target.kind}/{target.name}")
    if found is None:
        word = "Ingress" if target.kind == "ingress" else "HTTPRoute"
        yield f"found {target}, but the workload has no {word} {target.name}"
        return
    try:
        route = route_of(target, workload)
    except ValueError as error:
        yield str(error)
        return
    if route and target.tls and not (target.tls.insecure or target.server_name(route.host)):
        yield f"found tls, but {target} has no host, expected host or tls.serverName: the name in the certificate"
    namespace, name, port = target.through
    service = workload.find(f"service/{name}") if target.via and not namespace else None
    if target.via and not namespace and service is None:
        elsewhere = f"service/NAMESPACE/{name}"
        yield f"found via: {target.via}, but the workload has no Service {name}; of another namespace: {elsewhere}"

    elif service and port and port not in ports_of(service):
        yield f"found via: {target.via}, expected one of the ports {', '.join(ports_of(service))} of Service {name}"


def route_of(target: Target, workload: Workload) -> Route | None:
    """Return the route of an Ingress or HTTPRoute, None for any other target. Raises ValueError if it has none."""
    if target.kind not in {"ingress", "httproute"}:
        return None
    item = workload.find(f"{target.kind}/{target.name}")
    read = ingress_route if target.kind == "ingress" else http_route
    return read(item, target.host or "", target.path or "") if item else None


def shown(target: Target, workload: Workload) -> str:
    """Return a target with what the manifests show about it: ``ingress/shop → https://shop.test/cart``."""
    try:
        route = route_of(target, workload)
    except ValueError:
        route = None
    if route is not None:
        scheme = "https" if route.secure or target.secure else "http"
        known = f"{scheme}://{route.host or 'its address'}{route.prefix or '/'}"
        return f"{target} → {known}{f' via {target.via}' if target.via else ''}"
    if target.kind == "service":
        service = workload.find(f"service/{target.name}") or {}
        balanced = (service.get("spec") or {}).get("type") == LOAD_BALANCER
        scheme = "https" if target.tls else "http"
        way = f" → {scheme}://{target.host}" if target.host else " with TLS" * bool(target.tls)
        return f"{target}{way}{' (its load balancer, or else its nodePort)' if balanced else ''}"
    return str(target)


def unreachable(target: Target, workload: Workload) -> str:
    """Return why this machine cannot reach a target, as far as the manifests show it, or an empty text."""
    namespace, through, _ = target.through
    name = target.name if target.kind == "service" else "" if namespace else through
    service = workload.find(f"service/{name}") if name else None
    return only_inside(service) if service else ""


def out_of_reach(target: Target, workload: Workload) -> str:
    """Return why a locustfile cannot reach a target, as far as the manifests show it, or an empty text."""
    why = unreachable(target, workload)
    return (
        f"found {target}: {why}, but a locustfile runs on this machine; expected a Service of type NodePort or "
        "LoadBalancer, or a URL, such as that of an Ingress"
        if why
        else ""
    )


def own_requests(target: Target) -> str:
    """Return why a locustfile, which sends its own requests, cannot have a target, or an empty text."""
    plain = not (target.host or target.tls or target.auth)
    if plain and (target.kind == "service" or (target.kind == "url" and not target.address[2])):
        return ""
    return (
        f"found the target {target}, expected a Service or a URL without path, and no host, tls and auth: a locustfile "
        "sends its own requests"
    )


def behaviour_of(load: Load, catalogue: Catalogue) -> Behaviour:
    """Return the behaviour of a load. Raises InputError, also if it would ignore the credentials of the target."""
    found = catalogue.behaviour(load.behaviour, load.options)
    if load.target.auth and not found.authorizes:
        message = f"found a target with auth, expected none: the behaviour {load.behaviour} sends no credentials"
        raise InputError([Problem(message)])
    return found


def shared(target: Target) -> str:
    """Return why the arms of an experiment cannot both have a target, or an empty text."""
    if target.kind == "service":
        return ""
    return f"the target is {target}, expected a Service: the arms would share its host"
