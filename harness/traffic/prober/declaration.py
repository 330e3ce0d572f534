"""The fields of an experiment that declare its probes: ``prober: [{http: {…}, rate: 20/s}, …]``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from harness.model.quantities import DnsLabel, Duration, Rate
from harness.traffic.target.declaration import Target

SLOWEST, FASTEST = 0.5, 100.0
SHORTEST, LONGEST = 0.01, 10.0
MOST_STREAMS = 16

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def _rate(value: float) -> float:
    if not SLOWEST <= value <= FASTEST:
        raise ValueError(f"found {value:g}/s, expected from {SLOWEST:g}/s to {FASTEST:g}/s")
    return value


def _timeout(value: float) -> float:
    if not SHORTEST <= value <= LONGEST:
        raise ValueError(f"found {value:g} s, expected from {SHORTEST * 1000:g}ms to {LONGEST:g}s")
    return value


def _domain(value: str) -> str:
    labels = value.removesuffix(".").split(".")
    # RFC 1035: at most 253 characters in all and 63 in a label.
    if len(value) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"found {value!r}, expected a full domain name such as shop.default.svc.cluster.local")
    return value


def _path(value: str) -> str:
    # A space or a control character would end the path in the request line.
    if not re.fullmatch(r"/[!-~]*", value):
        raise ValueError(f"found {value!r}, expected a path such as /cart, with special characters percent-encoded")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Aim(_Part):
    """What is probed."""

    target: Target = Field(description="where the probes go: text such as service/shop:http, or an object")

    def options(self) -> dict[str, Any]:
        """Return the settings of the prober's process for this protocol, without the address."""
        return self.model_dump(exclude={"target"})


class HttpAim(Aim):
    """An HTTP request; good if the status is below 400 or, if ``status`` is set, exactly that."""

    method: Literal["GET", "HEAD", "OPTIONS"] = Field(default="GET", description="the HTTP method")
    path: Annotated[str, AfterValidator(_path)] = Field(default="/", description="the path to request, percent-encoded")
    status: int = Field(default=0, description="the expected status; 0: any below 400")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.status and not 100 <= self.status <= 599:
            raise ValueError(f"found status {self.status}, expected one from 100 to 599")
        return self


class TcpAim(Aim):
    """A TCP connection that is opened and closed; good if it was established, with TLS if the target has it."""

    @model_validator(mode="after")
    def _without_credentials(self) -> Self:
        if self.target.auth:
            raise ValueError("found a target with auth, expected none: nothing is sent over the connection")
        return self


class GrpcAim(Aim):
    """A check of the gRPC health service; good if the status is SERVING."""

    # Not called ``service``, which is the name of the Kubernetes Service elsewhere.
    service_name: str = Field(
        default="", alias="service", description="the gRPC service to check; empty: the server as a whole"
    )

    def options(self) -> dict[str, Any]:
        return {"service": self.service_name}


class DnsAim(Aim):
    """A DNS query over UDP; good if the answer contains an address."""

    name: Annotated[str, AfterValidator(_domain)] = Field(description="the fully qualified domain name to look up")
    type: Literal["A", "AAAA"] = Field(default="A", description="the record type: A for IPv4, AAAA for IPv6 addresses")

    @model_validator(mode="after")
    def _by_udp(self) -> Self:
        target = self.target
        if target.kind != "service" or target.host or target.tls or target.auth:
            raise ValueError(f"found the target {target}, expected a Service without host, tls and auth: DNS uses UDP")
        return self


class Probing(_Part):
    """One stream of probes: exactly one of http, tcp, grpc and dns, and its rate.

    ``connection: kept`` keeps a connection open between probes, as many clients do; ``new`` opens one for each probe,
    so that all pods are reached. The two see different outages: declare one stream of each if both matter.
    """

    name: DnsLabel | None = Field(default=None, description="the name in reports (default: protocol and Service)")
    http: HttpAim | None = Field(default=None, description="probe with an HTTP request")
    tcp: TcpAim | None = Field(default=None, description="probe by opening a TCP connection")
    grpc: GrpcAim | None = Field(default=None, description="probe with a check of the gRPC health service")
    dns: DnsAim | None = Field(default=None, description="probe with a DNS query over UDP")
    rate: Annotated[Rate, AfterValidator(_rate)] = Field(
        default=20.0, description="probes per second, from 0.5/s to 100/s"
    )
    connection: Literal["new", "kept"] = Field(
        default="new", description="new: one connection per probe; kept: reuse a connection (http and grpc only)"
    )
    timeout: Annotated[Duration, AfterValidator(_timeout)] = Field(
        default=0.5, description="the time limit of one probe, from 10ms to 10s"
    )

    @model_validator(mode="after")
    def _one_protocol(self) -> Self:
        given = [name for name in ("http", "tcp", "grpc", "dns") if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"found {found}, expected exactly one of http, tcp, grpc, dns")
        if self.connection == "kept" and given[0] in {"tcp", "dns"}:
            raise ValueError(
                f"found connection: kept for a {given[0]} probe, but only http and grpc probes can keep a connection"
            )
        return self

    @property
    def protocol(self) -> Literal["http", "tcp", "grpc", "dns"]:
        return "http" if self.http else "tcp" if self.tcp else "grpc" if self.grpc else "dns"

    @property
    def aim(self) -> Aim:
        aim = self.http or self.tcp or self.grpc or self.dns
        assert aim is not None
        return aim

    @property
    def title(self) -> str:
        """The name, or a description such as ``http podinfo kept``."""
        return self.name or " ".join(
            [self.protocol, self.aim.target.name, *(["kept"] if self.connection == "kept" else [])]
        )
