"""What every stored fact is made of: fields that are known, and numbers that JSON can hold."""

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


# JSON has no NaN and no infinity: where a number may be missing, such a number counts as missing; elsewhere it is
# refused when the fact is made, and not when a finished run is written.
Known = Annotated[float | None, BeforeValidator(_unknown_unless_finite)]
Figures = Annotated[dict[str, float], BeforeValidator(_finite_only)]


class Fact(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null", allow_inf_nan=False)
