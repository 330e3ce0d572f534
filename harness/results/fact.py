"""The base of all stored records: no unknown fields, and only numbers that JSON can represent."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _unknown_unless_finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _finite_only(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {key: inner for key, inner in value.items() if _unknown_unless_finite(inner) is not None}


# JSON has no NaN and no infinity. Where a number may be missing, such a number becomes null; elsewhere it is refused
# when the record is created, rather than when a finished run is written.
Known = Annotated[float | None, BeforeValidator(_unknown_unless_finite)]
Figures = Annotated[dict[str, float], BeforeValidator(_finite_only)]


class Fact(BaseModel):
    """Base of all records."""

    # An unknown field means a file of another version or an edited one; ignoring it would render an incomplete report.
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null", allow_inf_nan=False)
