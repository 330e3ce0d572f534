"""The fields of a target for TLS and authorization. Secrets are only named: no file of the harness has their values."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from harness.common.errors import SecretValueError
from harness.traffic.target.endpoint import REFERENCE

MAX_BYTES = 1_000_000
_STORED = re.compile(r"(secret|configmap)/([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?):([-._a-zA-Z0-9]+)")


@dataclass(frozen=True, slots=True, order=True)
class Stored:
    """A key of a Secret or a ConfigMap."""

    kind: str
    name: str
    key: str


def stored(text: str) -> Stored | None:
    """Return the key of a Secret or ConfigMap that a text names (``secret/NAME:KEY``), or None."""
    found = _STORED.fullmatch(text)
    return Stored(*found.groups()) if found else None


def variable(text: str) -> str:
    """Return the name of the environment variable that a text names (``${env:NAME}``), or an empty text."""
    found = REFERENCE.fullmatch(text)
    return found[1] if found else ""


def read_pem(file: Path) -> str:
    """Return the text of a certificate or key file. Raises ValueError with a reason."""
    try:
        # Reading a pipe or a device might never end.
        if not file.is_file():
            raise ValueError("which is not a file" if file.exists() else "which does not exist")
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"which cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"which is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise ValueError("which is not a PEM file") from error


def _named_secret(text: str) -> str:
    kept = stored(text)
    if not variable(text) and not (kept and kept.kind == "secret"):
        # The value is not shown: it may be the secret itself.
        raise SecretValueError("found something else, expected the name of a secret: ${env:NAME} or secret/NAME:KEY")
    return text


SecretName = Annotated[str, AfterValidator(_named_secret)]
# What HTTP's basic scheme allows in a user name (RFC 7617): no colon, no control characters.
UserName = Annotated[str, StringConstraints(pattern=r"^[^:\x00-\x1f\x7f]+$")]


# DNS: at most 63 characters between dots, 253 in total. TLS refuses longer names, at every connection.
LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST = rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})*"


def _server_name(text: str) -> str:
    if not re.fullmatch(HOST, text) and ":" not in text:
        raise ValueError(f"found {text!r}, expected a host name in lower case, such as shop.test, or an IP address")
    if ":" in text:
        try:
            ipaddress.ip_address(text)
        except ValueError as error:
            raise ValueError(f"found {text!r}, expected a host name without a port, or an IP address") from error
    return text


PemSource = Annotated[str, StringConstraints(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class TargetTls(_Part):
    """TLS to the target. A certificate is a PEM file, relative to the experiment, or in the experiment's namespace:
    ``secret/NAME:KEY`` or ``configmap/NAME:KEY``."""

    ca: PemSource = Field(
        default="", description="certificates that sign the server's; by default those of this machine"
    )
    certificate: PemSource = Field(default="", description="the client's certificate, for servers that require one")
    key: PemSource = Field(default="", description="the private key of the client's certificate")
    server_name: Annotated[str, AfterValidator(_server_name)] = Field(
        default="", description="the name in the server's certificate and in SNI; by default the target's host"
    )
    insecure: bool = Field(
        default=False, strict=True, description="whether any certificate of the server is accepted, also a wrong one"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            given, missing = ("certificate", "key") if self.certificate else ("key", "certificate")
            raise ValueError(f"found {given} without {missing}, expected both or neither")
        if self.insecure and self.ca:
            raise ValueError("found ca and insecure: true, expected one of them: with insecure the ca is not used")
        return self

    def sources(self) -> Iterator[tuple[str, str]]:
        """Yield each field that names a file, a Secret or a ConfigMap, with its text."""
        yield from ((name, text) for name in ("ca", "certificate", "key") if (text := str(getattr(self, name))))


class Basic(_Part):
    """A user's name and password."""

    username: UserName = Field(description="the user's name")
    password: SecretName = Field(description="the password: ${env:NAME} or secret/NAME:KEY")


class TargetAuth(_Part):
    """The Authorization header of every request: exactly one of basic and bearer."""

    basic: Basic | None = Field(default=None, description="a user's name and password")
    bearer: SecretName | None = Field(default=None, description="a token: ${env:NAME} or secret/NAME:KEY")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.basic is None) == (self.bearer is None):
            raise ValueError("expected exactly one of basic, bearer")
        return self

    @property
    def scheme(self) -> Literal["Basic", "Bearer"]:
        return "Basic" if self.basic else "Bearer"

    @property
    def secret(self) -> str:
        """The name of the secret."""
        return self.basic.password if self.basic else str(self.bearer)
