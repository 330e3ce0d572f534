"""The hosts outside of the cluster that load and probes may be sent to. Without an entry, none may."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Resolve = Callable[[str], list[str]]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"found {text!r}, expected an address or a range such as 10.0.0.0/8") from error
    return text


class Host(BaseModel):
    """A host that load and probes may be sent to, by its exact name or address.

    Without ``addresses``, it may only resolve to addresses that are not public.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.:-]+$")] = Field(
        description="the host's exact name or address, in lower case"
    )
    addresses: list[Annotated[str, AfterValidator(_network)]] = Field(
        default_factory=list, description="addresses and ranges that the name may resolve to, also public ones"
    )
    public: bool = Field(default=False, strict=True, description="whether it may resolve to any public address")

    def permits(self, address: str) -> bool:
        """Return whether the host may resolve to an address."""
        found = _plain(address)
        if self.addresses:
            return any(_within(found, network) for network in self.addresses)
        # Link-local addresses include the metadata services of clouds; 0.0.0.0 means this machine to some programs.
        if found.is_link_local or found.is_multicast or found.is_unspecified:
            return False
        return self.public or not found.is_global


def _entry(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


HostEntry = Annotated[Host, BeforeValidator(_entry, json_schema_input_type=str | Host)]


def resolve(name: str) -> list[str]:
    """Return the addresses of a host, in the order in which they are tried. Raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def host_refusal(hosts: Iterable[Host], name: str, addresses: Sequence[str] = ()) -> str:
    """Return why the guard refuses to send load to a host that has these addresses, or an empty text."""
    entry = next((host for host in hosts if host.name == name), None)
    if entry is None:
        return f"the host {name} is not on the guard's list of hosts (hosts in resilience-guard.yaml)"
    wrong = [address for address in addresses if not entry.permits(address)]
    if not wrong:
        return ""
    if entry.addresses:
        return f"the host {name} resolves to {', '.join(wrong)}, but the guard allows {', '.join(entry.addresses)}"
    return (
        f"the host {name} resolves to {', '.join(wrong)}, which is not a private address: list its addresses in the "
        "guard file, or set public: true there"
    )


def stricter_hosts(one: Sequence[Host], other: Sequence[Host]) -> list[Host]:
    """Return the hosts that both lists have, with the addresses that both allow; a host without any is left out."""
    both = [_stricter(host, same) for host in one for same in other if host.name == same.name]
    return [host for host in both if host is not None]


def _stricter(one: Host, other: Host) -> Host | None:
    if not one.addresses and not other.addresses:
        return Host(name=one.name, public=one.public and other.public)
    if one.addresses and other.addresses:
        pairs = [(a, b) for a in one.addresses for b in other.addresses]
        kept = [a for a, b in pairs if _inside(a, b)] + [b for a, b in pairs if _inside(b, a) and a != b]
    else:
        limited, free = (one, other) if one.addresses else (other, one)
        kept = [network for network in limited.addresses if free.public or not _is_public(network)]
    return Host(name=one.name, addresses=kept) if kept else None


def _is_public(network: str) -> bool:
    return ipaddress.ip_network(network).is_global


def _inside(one: str, other: str) -> bool:
    inner, outer = ipaddress.ip_network(one), ipaddress.ip_network(other)
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _within(address: _Address, network: str) -> bool:
    return address in ipaddress.ip_network(network)


def _plain(address: str) -> _Address:
    """Return an address; that of IPv4 for one that is mapped to IPv6, which would hide what it is."""
    # The zone of a link-local address is not part of the number.
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
