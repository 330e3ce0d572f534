"""``load: {replay: access.log}``: what is replayed, how fast, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from harness.model.quantities import Share

# Methods that change nothing by definition (RFC 9110, section 9.2.1), of those that logs contain.
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def _method(text: str) -> str:
    if not (text.isascii() and text.isalpha() and text.isupper()) or text in {"CONNECT", "TRACE"}:
        raise ValueError(f"found {text!r}, expected a method such as GET")
    return text


class Replay(BaseModel):
    """A recording of requests that is sent again, with the times between them; text is its file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    file: str = Field(
        min_length=1,
        description="a HAR file or an access log (common, combined or JSON lines), relative to the experiment's folder",
    )
    speed: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=1.0, description="how many times faster than recorded; 2 halves all times between requests"
    )
    volume: Annotated[Share, Field(gt=0)] = Field(
        default=1.0, description="the share of the recorded requests to send, evenly chosen, such as 25%"
    )
    methods: tuple[Annotated[str, AfterValidator(_method)], ...] = Field(
        default=SAFE_METHODS,
        min_length=1,
        description="the methods to send; by default those that change nothing. Access logs have no bodies",
    )
    host: str = Field(
        default="", description="for a HAR file: the host whose requests are sent; by default that of its first request"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, found: object) -> object:
        if isinstance(found, str):
            return {"file": found}
        if not isinstance(found, Mapping | Replay):
            raise ValueError(f"found {found!r}, expected a file such as access.log")  # noqa: TRY004 - pydantic's own
        return found

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made: dict[str, Any] = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "minLength": 1}, made]}
