"""The entries of a kubeconfig file as Kubernetes defines them (``Config`` of ``v1``).

Parsed like kubectl: types are strict, unknown keys are ignored, null counts as missing.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

API_VERSIONS = ("", "v1")
KINDS = ("", "Config")


def _decode(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        # Go's decoder, which kubectl uses, ignores line breaks and nothing else.
        return base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("found invalid base64, expected base64") from error


def _fill(value: object) -> object:
    return [{} if item is None else item for item in value] if isinstance(value, list) else value


def _lists(value: object) -> object:
    return {key: [] if item is None else item for key, item in value.items()} if isinstance(value, dict) else value


Base64 = Annotated[bytes, BeforeValidator(_decode)]


class Entry(BaseModel):
    """The base class of all objects in a kubeconfig."""

    # Inputs are hidden in errors, since they may be secrets.
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: object) -> object:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class Extension(Entry):
    """Data of other programs in a kubeconfig."""

    name: str = ""
    extension: Any = None


Extensions = Annotated[list[Extension], BeforeValidator(_fill)]


class ClusterEntry(Entry):
    """How to reach a cluster."""

    server: str = ""
    tls_server_name: str = Field("", alias="tls-server-name")
    insecure: bool = Field(False, alias="insecure-skip-tls-verify")
    ca: str = Field("", alias="certificate-authority")
    ca_data: Base64 = Field(b"", alias="certificate-authority-data")
    proxy_url: str = Field("", alias="proxy-url")
    disable_compression: bool = Field(False, alias="disable-compression")
    extensions: Extensions = []


class Variable(Entry):
    """An environment variable of an exec plug-in."""

    name: str = ""
    value: str = ""


class ExecEntry(Entry):
    """A program that prints credentials."""

    command: str = ""
    args: list[str] = []
    env: Annotated[list[Variable], BeforeValidator(_fill)] = []
    api_version: str = Field("", alias="apiVersion")
    install_hint: str = Field("", alias="installHint")
    provide_cluster_info: bool = Field(False, alias="provideClusterInfo")
    interactive_mode: str = Field("", alias="interactiveMode")


class AuthProvider(Entry):
    """A login method that client libraries supported before exec plug-ins; removed from Kubernetes' client."""

    name: str = ""


class UserEntry(Entry):
    """The credentials and the impersonation of a user."""

    certificate: str = Field("", alias="client-certificate")
    certificate_data: Base64 = Field(b"", alias="client-certificate-data")
    key: str = Field("", alias="client-key")
    key_data: Base64 = Field(b"", alias="client-key-data")
    token: str = ""
    token_file: str = Field("", alias="tokenFile")
    impersonate: str = Field("", alias="as")
    impersonate_uid: str = Field("", alias="as-uid")
    impersonate_groups: list[str] = Field([], alias="as-groups")
    impersonate_extra: Annotated[dict[str, list[str]], BeforeValidator(_lists)] = Field({}, alias="as-user-extra")
    username: str = ""
    password: str = ""
    auth_provider: AuthProvider | None = Field(None, alias="auth-provider")
    exec: ExecEntry | None = None


class ContextEntry(Entry):
    """A cluster and a user, by their names."""

    cluster: str = ""
    user: str = ""


class NamedCluster(Entry):
    """A cluster with its name."""

    name: str = ""
    cluster: ClusterEntry = Field(default_factory=lambda: ClusterEntry.model_validate({}))


class NamedUser(Entry):
    """A user with its name."""

    name: str = ""
    user: UserEntry = Field(default_factory=lambda: UserEntry.model_validate({}))


class NamedContext(Entry):
    """A context with its name."""

    name: str = ""
    context: ContextEntry = Field(default_factory=lambda: ContextEntry.model_validate({}))


class ConfigFile(Entry):
    """A kubeconfig file."""

    api_version: str = Field("", alias="apiVersion")
    kind: str = ""
    current_context: str = Field("", alias="current-context")
    clusters: Annotated[list[NamedCluster], BeforeValidator(_fill)] = []
    users: Annotated[list[NamedUser], BeforeValidator(_fill)] = []
    contexts: Annotated[list[NamedContext], BeforeValidator(_fill)] = []
