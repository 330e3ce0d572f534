"""Values of HTTP requests in the options of load behaviours, limited to what HTTP allows on the wire.

RFC 9110, sections 5.1 and 5.5, and RFC 9112, section 3: no space in a path, no control character anywhere, so that an
option cannot smuggle in a second request.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field


def _one_is_a_list(value: object) -> object:
    return (value,) if isinstance(value, int) else value


def _fit_on_a_line(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not (name.isascii() and name.replace("-", "").isalnum() and value.isascii() and value.isprintable()):
            # The value is not shown: it may be a credential.
            raise ValueError(f"found the header {name!r}, expected a token for a name and printable ASCII text")
    return headers


Path = Annotated[str, Field(pattern=r"^/[!-~]*$")]
Status = Annotated[int, Field(ge=100, le=599)]
Statuses = Annotated[tuple[Status, ...], BeforeValidator(_one_is_a_list)]
Headers = Annotated[dict[str, str], AfterValidator(_fit_on_a_line)]
