"""The values of a schedule: what ``harness schedule render`` is given, and the values of the Helm chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from harness.common.documents import Document
from harness.common.errors import InputError, Problem
from harness.common.naming import SYSTEM_NAMESPACE
from harness.gameday.cron import schedule_problems
from harness.model.quantities import DnsLabel, matching

# The CronJob of the janitor has the name that a schedule "janitor" would have.
RESERVED = ("janitor",)
_QUANTITY = matching(r"[1-9][0-9]*(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?", "a quantity such as 500m, 256Mi or 1Gi")
_TEXT = StringConstraints(min_length=1, pattern=r"^\S+$")
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_NAME = StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
Port = Annotated[int, Field(ge=1, le=65535)]
Quantity = Annotated[str, _QUANTITY]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


def _port(url: str) -> int:
    """Return the TCP port of a URL, or of an address such as git@HOST:PATH."""
    if "://" not in url:
        return _PORTS["ssh"]
    parts = urlsplit(url)
    try:
        return parts.port or _PORTS[parts.scheme]
    except ValueError as error:
        raise ValueError(f"found the address {parts.netloc}, expected a port from 1 to 65535") from error


def _with_port(url: str) -> str:
    """Return a URL. Raises ValueError if its port is not valid."""
    _port(url)
    return url


class Volume(_Part):
    """A PersistentVolumeClaim for the results."""

    size: Quantity = Field(default="1Gi", description="size of the claim")
    storage_class: str = Field(default="", description="storage class; by default that of the cluster")


class Bucket(_Part):
    """A bucket of an S3-compatible server for the results."""

    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#@]+/?$"), AfterValidator(_with_port)] = Field(
        description="URL of the server, such as https://s3.example.com"
    )
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = Field(
        description="name of the bucket, which must exist"
    )
    prefix: Annotated[str, StringConstraints(pattern=r"^[^\s]*$")] = Field(
        default="", description="start of every object's name; by default the name of the schedule"
    )
    region: str = Field(default="us-east-1", description="region of the bucket")
    secret: Annotated[str, _NAME] = Field(
        description="name of the Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )

    @property
    def port(self) -> int:
        """The TCP port of the server."""
        return _port(self.endpoint)


class Results(_Part):
    """Where reports are kept: one of a volume and a bucket."""

    volume: Volume | None = Field(default=None, description="a PersistentVolumeClaim (the default)")
    s3: Bucket | None = Field(default=None, description="a bucket of an S3-compatible server")

    @model_validator(mode="before")
    @classmethod
    def _one(cls, found: object) -> object:
        if isinstance(found, Mapping):
            given = {key for key in ("volume", "s3") if found.get(key) is not None}
            if len(given) > 1:
                raise ValueError("found volume and s3, expected one of them")
            return found if given else {**found, "volume": {}}
        return found


class Git(_Part):
    """A Git repository that an init container clones."""

    url: Annotated[
        str, StringConstraints(pattern=r"^(https?|ssh)://\S+$|^git@\S+:\S+$"), AfterValidator(_with_port)
    ] = Field(description="URL of the repository")
    ref: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = Field(
        default="main", description="branch, tag or full commit hash"
    )
    image: Annotated[str, _TEXT] = Field(description="image of the init container; it needs sh and git")
    secret: str = Field(
        default="", description="name of a Secret with the keys username and password, for HTTPS; by default none"
    )

    @property
    def port(self) -> int:
        """The TCP port of the server."""
        return _port(self.url)


class Source(_Part):
    """Where the pod gets the experiments: files in a ConfigMap (the default), a Git repository, or its image."""

    git: Git | None = Field(default=None, description="a Git repository")
    folder: Annotated[str, StringConstraints(pattern=r"^(/\S+)?$")] = Field(
        default="", description="a folder in the image, such as /srv/experiments"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.git and self.folder:
            raise ValueError("found git and folder, expected at most one of them")
        return self

    @property
    def is_config_map(self) -> bool:
        return not self.git and not self.folder


class File(_Part):
    """One file of the ConfigMap: its key, its path in the project, and its text."""

    key: str
    path: str
    text: str


class Network(_Part):
    """The NetworkPolicy of the pod."""

    enabled: bool = Field(default=True, strict=True, description="whether to make a NetworkPolicy")
    api_ports: list[Port] = Field(default=[443, 6443], min_length=1, description="ports of API servers")
    ports: list[Port] = Field(
        default_factory=list, description="further ports outside of the cluster, such as those of URLs under load"
    )


class Amounts(_Part):
    """Amounts of CPU and memory."""

    cpu: Quantity | None = None
    memory: Quantity | None = None


class Resources(_Part):
    """Requests and limits of the pod."""

    requests: Amounts = Amounts(cpu="250m", memory="384Mi")
    # No limit of the CPU: a throttled run measures late.
    limits: Amounts = Amounts(memory="1Gi")


class History(_Part):
    """How many finished Jobs are kept."""

    succeeded: Annotated[int, Field(ge=0)] = 3
    failed: Annotated[int, Field(ge=1, description="at least one, since a failed run is found by its Job")] = 5


class Values(_Part):
    """Everything that the manifests of one schedule are made from."""

    name: DnsLabel = Field(description="name of the schedule")
    schedule: Annotated[str, StringConstraints(min_length=1)] = Field(description="cron expression: five fields")
    time_zone: Annotated[str, StringConstraints(min_length=1)] = Field(default="Etc/UTC", description="IANA time zone")
    image: Annotated[str, _TEXT] = Field(description="image of the runner")
    pull_secret: str = Field(default="", description="name of a Secret with the credentials for the image's registry")
    paths: list[Annotated[str, StringConstraints(min_length=1)]] = Field(
        min_length=1, description="files or folders of the project that are run"
    )
    arguments: list[str] = Field(default_factory=list, description="further arguments for pytest")
    load_from: Literal["auto", "machine", "cluster"] = Field(
        default="cluster", description="where load is generated; machine is the pod of the run"
    )
    images: str = Field(default="", description="registry prefix of the harness's images")
    deadline_seconds: Annotated[int, Field(ge=60)] = Field(
        default=14_400, description="the pod is stopped after this time; its faults are undone"
    )
    # Below 10 s the CronJob controller, which looks every 10 s, may miss every start.
    start_within_seconds: Annotated[int, Field(ge=10)] = Field(
        default=600, description="a run that cannot start within this time is missed"
    )
    grace_seconds: Annotated[int, Field(ge=30)] = Field(
        default=300, description="time to undo faults and store the report after a stop"
    )
    history: History = History()
    resources: Resources = Resources()
    results: Results = Results(volume=Volume())
    source: Source = Source()
    network: Network = Network()
    create_namespace: bool = Field(
        default=True, strict=True, description="whether to make the namespace; Helm refuses one that exists already"
    )
    rules: list[dict[str, Any]] = Field(default_factory=list, description="rules of the ClusterRole")
    roles: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="rules of the Role in each of these namespaces"
    )
    files: list[File] = Field(default_factory=list, description="content of the ConfigMap")

    @model_validator(mode="after")
    def _not_reserved(self) -> Self:
        if self.name in RESERVED:
            raise ValueError(f"found the name {self.name!r}, which is reserved, expected another one")
        return self

    @property
    def object_name(self) -> str:
        """The name of every object of the schedule."""
        return f"resilience-{self.name}"

    @property
    def config_map(self) -> str:
        """The name of the ConfigMap with the experiments."""
        return f"{self.object_name}-experiments"

    @property
    def claim(self) -> str:
        """The name of the PersistentVolumeClaim with the results."""
        return f"{self.object_name}-results"

    @property
    def namespace(self) -> str:
        return SYSTEM_NAMESPACE

    def as_json(self) -> dict[str, Any]:
        """Return the values as YAML has them."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def read_values(data: Any, now: float, document: Document | None = None) -> Values:  # noqa: ANN401 - any file
    """Validate values. Raises InputError with all problems; ``document`` gives the lines of a values file.

    ``now`` is in Unix seconds: a schedule that never runs after it is a problem.
    """
    problems: list[Problem] = []
    values: Values | None = None
    try:
        values = Values.model_validate(data)
    except ValidationError as error:
        problems += document.problems(error, model=Values) if document else list(_by_option(error))
    if isinstance(data, Mapping):
        schedule, zone = data.get("schedule"), data.get("timeZone", "Etc/UTC")
        if isinstance(schedule, str) and isinstance(zone, str):
            problems += [_of_time(text, document) for text in schedule_problems(schedule, zone, now)]
    if problems or values is None:
        raise InputError(problems)
    return values


def _of_time(text: str, document: Document | None) -> Problem:
    key = "timeZone" if "expected a time zone" in text else "schedule"
    return document.problem((key,), text) if document else Problem(text, field=key)


def _by_option(error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        place = ".".join(map(str, detail["loc"]))
        message = detail["msg"].removeprefix("Value error, ")
        found = "" if message.startswith("found ") or detail["type"] == "missing" else f"found {detail['input']!r}: "
        yield Problem(f"{found}{message}", field=place)
