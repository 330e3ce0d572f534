"""Where the workload of an experiment comes from: a folder, a kustomization, a Helm chart, or a live namespace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from harness.common.labels import parse_selector
from harness.model.quantities import DnsLabel, Namespace

# The scheme of references to charts in registries.
OCI = "oci://"
# A path in helm's --set-json ends at the first "=", and a comma begins the next one, unless a backslash precedes it.
_SEPARATORS = re.compile(r"(?<!\\)[=,]")

Text = Annotated[str, StringConstraints(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


def _path_of_value(found: str) -> str:
    if _SEPARATORS.search(found) or found[0] in "{[":
        raise ValueError(f"found {found!r}, expected the path of one value, such as image.tag or ports[0].name")
    return found


class Chart(_Part):
    """A Helm chart, rendered with the user's `helm template`."""

    chart: Text = Field(description="a folder or an archive relative to the experiment, or an OCI reference (oci://…)")
    version: str = Field(default="", description="the chart's version; needed for an OCI reference without a digest")
    values: list[Text] = Field(default_factory=list, description="values files, relative to the experiment")
    set: dict[Annotated[str, StringConstraints(min_length=1), AfterValidator(_path_of_value)], Any] = Field(
        default_factory=dict,
        description="single values by their path, such as image.tag, with the meaning of helm's --set-json",
    )
    release: DnsLabel | None = Field(default=None, description="name of the release; by default the experiment's name")
    kube_version: Annotated[str, StringConstraints(pattern=r"^v?\d+\.\d+(\.\d+)?$")] = Field(
        default="",
        description="version of Kubernetes that the chart is rendered for (.Capabilities.KubeVersion); by default that "
        "of the local cluster",
        validate_default=False,
    )
    api_versions: list[Text] = Field(
        default_factory=list,
        description="further API versions that the cluster has (.Capabilities.APIVersions), such as "
        "monitoring.coreos.com/v1",
    )

    @model_validator(mode="after")
    def _reproducible(self) -> Self:
        if self.chart.startswith(OCI) and not self.version and "@sha256:" not in self.chart:
            raise ValueError(
                f"found {self.chart!r} without a version, expected `version`, or @sha256:… in the reference"
            )
        return self


def _selector(text: str) -> str:
    parse_selector(text)
    return text


class LiveSelection(_Part):
    """Objects that run in a namespace of the cluster."""

    namespace: Namespace = Field(description="the namespace of the objects")
    selector: Annotated[str, AfterValidator(_selector)] = Field(
        default="",
        description="label selector of the objects, with what their pods refer to and what selects their pods; by "
        "default all of the namespace",
    )


class CopySelection(LiveSelection):
    """Objects that run in a namespace of the cluster, to be copied to a namespace of the experiment."""

    secrets: list[Text] = Field(default_factory=list, description="names of the Secrets that may be copied")


class WorkloadSource(_Part):
    """A workload's source: text is a folder of manifests or ``builtin/NAME``; an object has exactly one other source.

    Raises ValueError if not exactly one source is given.
    """

    folder: Text | None = None
    kustomize: Text | None = Field(default=None, description="folder of a kustomization, relative to the experiment")
    helm: Chart | None = Field(default=None, description="a Helm chart")
    copy_of: CopySelection | None = Field(default=None, description="copy of the objects that run in a namespace")
    existing: LiveSelection | None = Field(
        default=None, description="the objects that run in a namespace, which are neither deployed nor removed"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, found: object) -> object:
        kinds = ("kustomize", "helm", "copyOf", "existing")
        if isinstance(found, str):
            return {"folder": found}
        if isinstance(found, WorkloadSource):
            return found
        expected = f"expected a folder of manifests, or one of {', '.join(kinds)}"
        if not isinstance(found, Mapping):
            raise ValueError(f"found {found!r}, {expected}")  # noqa: TRY004 - pydantic's own
        if len(found) != 1 and not set(found) - set(kinds):
            raise ValueError(f"found {', '.join(found) or 'no source'}, {expected}")
        if empty := [key for key, value in found.items() if value is None]:
            raise ValueError(f"found {empty[0]} without a value, {expected}")
        return found

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler.resolve_ref_schema(handler(schema))
        properties: dict[str, dict[str, Any]] = made.get("properties", {})
        sources = []
        for key, value in properties.items():
            if key != "folder":
                # A source that is given cannot be null.
                value["anyOf"] = [part for part in value["anyOf"] if part != {"type": "null"}]
                value.pop("default", None)
                sources.append(
                    {"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": False}
                )
        return {"anyOf": [{"type": "string", "minLength": 1}, *sources]}

    @property
    def live(self) -> bool:
        """Whether the objects are read from a cluster, so that they are unknown before a run is connected."""
        return self.copy_of is not None or self.existing is not None

    def __str__(self) -> str:
        if self.folder is not None:
            return self.folder
        if self.kustomize is not None:
            return f"kustomization {self.kustomize}"
        if self.helm is not None:
            return f"Helm chart {self.helm.chart}"
        live = self.copy_of or self.existing
        word = "copy of" if self.copy_of else "existing"
        return f"{word} namespace {live.namespace}" if live else ""
