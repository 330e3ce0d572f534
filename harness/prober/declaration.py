"""What an experiment writes to have its users' way in probed: ``prober: [{http: {…}, rate: 20/s}, …]``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from harness.quantities import Duration, Rate

SLOWEST, FASTEST = 0.5, 100.0
SHORTEST, LONGEST = 0.01, 10.0
MOST_STREAMS = 16

ServiceRef = Annotated[str, StringConstraints(pattern=r"^service/[a-z0-9-]+(:[a-z0-9-]+)?$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
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
    if len(value) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"found {value!r}, expected a full domain name such as shop.default.svc.cluster.local")
    return value


def _path(value: str) -> str:
    if not re.fullmatch(r"/[!-~]*", value):
        raise ValueError(f"found {value!r}, expected a path such as /readyz, with everything else percent-encoded")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Aim(_Part):
    """Whom to ask: a NodePort Service of the workload."""

    target: ServiceRef = Field(description="service/NAME or service/NAME:PORT, a port's name or number")

    @property
    def service(self) -> str:
        return self.target.removeprefix("service/").partition(":")[0]

    @property
    def port(self) -> str:
        """The port's name or number; empty for the only one."""
        return self.target.partition(":")[2]

    def options(self) -> dict[str, Any]:
        """What the prober's process needs to know besides the address."""
        return self.model_dump(exclude={"target"})


class HttpAim(Aim):
    """An HTTP request. The answer is good below status 400, or with exactly ``status``."""

    method: Literal["GET", "HEAD", "OPTIONS"] = "GET"
    path: Annotated[str, AfterValidator(_path)] = "/"
    status: int = Field(default=0, description="the status expected; 0: any below 400")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.status and not 100 <= self.status <= 599:
            raise ValueError(f"found status {self.status}, expected one from 100 to 599")
        return self


class TcpAim(Aim):
    """A connection, closed again."""


class GrpcAim(Aim):
    """A check of the gRPC health service; good when it says SERVING."""

    service_name: str = Field("", alias="service", description="the service asked about; empty: the server as a whole")

    def options(self) -> dict[str, Any]:
        return {"service": self.service_name}


class DnsAim(Aim):
    """A question over UDP; good when there is an address in the answer."""

    name: Annotated[str, AfterValidator(_domain)] = Field(description="the full domain name to ask for")
    type: Literal["A", "AAAA"] = "A"


class Probing(_Part):
    """One stream of probes: one of http, tcp, grpc and dns, and how often.

    ``connection: kept`` keeps a connection open between probes, as many clients do; ``new`` dials for each, which is
    what reaches every pod. They see different outages: probe both where it matters.
    """

    name: Name | None = Field(None, description="what reports call it (default: from the target)")
    http: HttpAim | None = None
    tcp: TcpAim | None = None
    grpc: GrpcAim | None = None
    dns: DnsAim | None = None
    rate: Annotated[Rate, AfterValidator(_rate)] = Field(20.0, description="probes a second, from 0.5/s to 100/s")
    connection: Literal["new", "kept"] = "new"
    timeout: Annotated[Duration, AfterValidator(_timeout)] = Field(0.5, description="the longest that one may take")

    @model_validator(mode="after")
    def _one_protocol(self) -> Self:
        given = [name for name in ("http", "tcp", "grpc", "dns") if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"found {found}, expected exactly one of http, tcp, grpc, dns")
        if self.connection == "kept" and given[0] in {"tcp", "dns"}:
            raise ValueError(
                f"found connection: kept, but only http and grpc probes can keep one, and this is {given[0]}"
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
        """Its name, or one made of what it does: ``http podinfo kept``."""
        return self.name or " ".join(
            [self.protocol, self.aim.service, *(["kept"] if self.connection == "kept" else [])]
        )
