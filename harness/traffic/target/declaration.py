"""The target of load and probes as an experiment declares it: ``target: service/shop:http``, or an object."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from harness.common.errors import SecretValueError
from harness.model.quantities import matching
from harness.traffic.target.credentials import HOST, Stored, TargetAuth, TargetTls, stored, variable

Kind = Literal["service", "ingress", "httproute", "url"]

_KEYS = {"service": "service", "ingress": "ingress", "httproute": "httpRoute", "url": "url"}
_PORT = "(:[a-z0-9-]+)?"
_NAME = "[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
_SERVICE = f"[a-z0-9-]+{_PORT}"
_VIA = f"service/([a-z0-9-]+/)?{_SERVICE}"
_URL = r"https?://[^\s?#@]+"
_TEXT = f"(service/{_SERVICE}|(ingress|httproute)/{_NAME}|{_URL})"
_EXPECTED = "expected service/NAME[:PORT], ingress/NAME, httproute/NAME or a URL, such as service/shop:http"


def _split(url: str) -> SplitResult:
    """Return the parts of a URL. Raises ValueError if it has more than a host, a port and a path."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("expected http:// or https:// with a host, and perhaps a port and a path")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not re.fullmatch(HOST, host):
            raise ValueError(f"{host!r} is not a host name in lower case") from None
    # Raises ValueError for a port that is no number up to 65535.
    if parts.port == 0 or not re.fullmatch(r"(/[!-~]*)?", parts.path) or parts.netloc != parts.netloc.lower():
        raise ValueError("expected a lower-case host, a port from 1 to 65535, and a percent-encoded path")
    return parts


def _without_credentials(value: str) -> None:
    # The value is not shown, since it has a password.
    if "://" in value and "@" in value:
        raise SecretValueError("found a URL with credentials, expected them in auth, as the names of secrets")


def _url(value: str) -> str:
    _without_credentials(value)
    try:
        _split(value)
    except ValueError as error:
        raise ValueError(f"found {value!r}: {error}") from error
    return value


def _schema(pattern: str) -> Any:  # noqa: ANN401 - pydantic's own
    return Field(json_schema_extra={"pattern": f"^{pattern}$"})


_PATH = r"/[!-~]*"
_VIA_TEXT = "service/NAME[:PORT] or service/NAMESPACE/NAME[:PORT], such as service/ingress/controller:https"
ServicePort = Annotated[str, matching(_SERVICE, "NAME or NAME:PORT, such as shop:http"), _schema(_SERVICE)]
ObjectName = Annotated[str, matching(_NAME, "the name of an object, such as shop"), _schema(_NAME)]
HostName = Annotated[str, matching(HOST, "a host name in lower case, such as shop.test"), _schema(HOST)]
UrlPath = Annotated[str, matching(_PATH, "a path such as /cart, percent-encoded"), _schema(_PATH)]
Via = Annotated[str, matching(_VIA, _VIA_TEXT), _schema(_VIA)]
Url = Annotated[str, AfterValidator(_url), _schema(_URL)]


class Target(BaseModel):
    """Where load or probes go: text such as ``service/shop:http``, or an object with exactly one of ``service``,
    ``ingress``, ``httpRoute`` and ``url``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    service: ServicePort | None = Field(
        default=None, description="a Service of the workload: NAME or NAME:PORT, where PORT is a port's name or number"
    )
    ingress: ObjectName | None = Field(
        default=None, description="an Ingress of the workload, which gives host and path"
    )
    http_route: ObjectName | None = Field(
        default=None, description="an HTTPRoute of the workload, which gives host and path"
    )
    url: Url | None = Field(default=None, description="a URL whose host is on the guard file's list of hosts")
    host: HostName | None = Field(
        default=None,
        description="the Host header and the name in the server's certificate; of an ingress or httpRoute: which host",
    )
    path: UrlPath | None = Field(
        default=None, description="of an ingress or httpRoute: the path before those of all requests"
    )
    via: Via | None = Field(
        default=None,
        description="of an ingress or httpRoute: the controller's Service, where no address is reported",
    )
    tls: TargetTls | None = Field(default=None, description="TLS to the target; {} trusts this machine's authorities")
    auth: TargetAuth | None = Field(default=None, description="credentials for HTTP and gRPC")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, found: object) -> object:
        if isinstance(found, str):
            _without_credentials(found)
            if not re.fullmatch(_TEXT, found):
                raise ValueError(f"found {found!r}, {_EXPECTED}")
            kind, _, name = found.partition("/")
            return {"url": found} if kind.endswith(":") else {_KEYS[kind]: name}
        if not isinstance(found, Mapping | Target):
            raise ValueError(f"found {found!r}, {_EXPECTED}")  # noqa: TRY004 - pydantic's own
        return found

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [key for key in ("service", "ingress", "http_route", "url") if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(to_camel(key) for key in given) or "none"
            raise ValueError(f"found {found}, expected exactly one of service, ingress, httpRoute, url")
        if self.kind in {"service", "url"} and (self.path or self.via):
            raise ValueError(f"found {'path' if self.path else 'via'} with {given[0]}, expected ingress or httpRoute")
        if self.tls and (self.url or "").startswith("http:"):
            raise ValueError("found tls with an http URL, expected https")
        if self.kind == "service" and self.tls and not (self.tls.insecure or self.server_name()):
            raise ValueError("found tls without a name, expected host or tls.serverName: the name in the certificate")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made: dict[str, Any] = handler.resolve_ref_schema(handler(schema))
        for field in made.get("properties", {}).values():
            # A key that is given cannot be null.
            choices = [part for part in field.pop("anyOf", []) if part != {"type": "null"}]
            field.update(*choices[:1])
            field.pop("default", None)
        one = [{"required": [key]} for key in _KEYS.values()]
        return {"anyOf": [{"type": "string", "pattern": f"^{_TEXT}$"}, {**made, "allOf": [{"oneOf": one}]}]}

    @property
    def kind(self) -> Kind:
        """The kind of what it names."""
        kinds: tuple[Kind, ...] = ("ingress", "httproute", "url")
        given = (self.ingress, self.http_route, self.url)
        return next((kind for kind, value in zip(kinds, given, strict=True) if value is not None), "service")

    @property
    def name(self) -> str:
        """The name of the object, or the host of the URL."""
        if self.url is not None:
            return _split(self.url).hostname or ""
        return (self.service or self.ingress or self.http_route or "").partition(":")[0]

    @property
    def port(self) -> str:
        """The name or number of the Service's port; empty if the target names none, for the first."""
        return (self.service or "").partition(":")[2]

    @property
    def secure(self) -> bool:
        """Whether its own fields ask for TLS; an Ingress or a Gateway may ask for it too."""
        return self.tls is not None or (self.url or "").startswith("https:")

    @property
    def address(self) -> tuple[str, int, str]:
        """The host, port and path of the URL."""
        parts = _split(self.url or "")
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/")

    @property
    def through(self) -> tuple[str, str, str]:
        """The namespace (empty: the experiment's), name and port of the Service in ``via``."""
        place, _, port = (self.via or "").removeprefix("service/").partition(":")
        namespace, _, name = place.rpartition("/")
        return namespace, name, port

    def server_name(self, host: str = "") -> str:
        """Return the name in the server's certificate; ``host`` is the one of the object or the URL."""
        return (self.tls.server_name if self.tls else "") or self.host or host

    def stored(self) -> Iterator[Stored]:
        """Yield the Secrets and ConfigMaps that it names."""
        yield from filter(None, map(stored, self._sources()))

    def variables(self) -> Iterator[str]:
        """Yield the environment variables that it names."""
        yield from filter(None, map(variable, self._sources()))

    def _sources(self) -> Iterator[str]:
        if self.tls:
            yield from (text for _, text in self.tls.sources())
        if self.auth:
            yield self.auth.secret

    def __str__(self) -> str:
        return self.url or f"{self.kind}/{self.service or self.ingress or self.http_route}"
