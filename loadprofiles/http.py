"""Sends one HTTP request and checks its status."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from harness.traffic.load.behaviour import OK, Behaviour, Client, Reply, below_400

Status = Annotated[int, Field(ge=100, le=599)]
# What HTTP allows on the wire (RFC 9110, sections 5.1 and 5.5; RFC 9112, section 3): no space in a path, no control
# character anywhere, so that an option cannot smuggle in a second request.
Path = Annotated[str, Field(pattern=r"^/[!-~]*$")]
Method = Annotated[str, Field(pattern=r"^[A-Z]+$")]


class Http(Behaviour):
    """``method``, ``path``, ``headers``, ``body``; ``expect``: the good status or a list (default: all below 400).

    ``http2: true`` sends with HTTP/2; without TLS this needs a server that expects it (prior knowledge).

    A header such as ``Authorization: "Bearer ${env:SHOP_TOKEN}"`` keeps the token out of files and reports.
    """

    method: Method = "GET"
    path: Path = "/"
    headers: dict[str, str] = Field(default_factory=dict)
    body: str = ""
    expect: tuple[Status, ...] = ()
    http2: bool = Field(default=False, strict=True)

    @field_validator("expect", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, int) else value

    @field_validator("headers")
    @classmethod
    def _headers_fit_on_a_line(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if (
                not name.isascii()
                or not name.replace("-", "").isalnum()
                or not (value.isascii() and value.isprintable())
            ):
                # The value is not shown: it may be a credential.
                raise ValueError(f"found the header {name!r}, expected a token for a name and printable ASCII text")
        return headers

    def arrive(self, client: Client, number: int) -> None:  # noqa: ARG002  every arrival is the same
        client.request(self.method, self.path, body=self.body.encode(), headers=self.headers, check=self._check)

    def _check(self, reply: Reply) -> str:
        if not self.expect:
            return below_400(reply)
        return OK if reply.status in self.expect else str(reply.status)
