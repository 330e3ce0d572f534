"""Sends one HTTP request and checks its status."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.traffic.load.behaviour import OK, Behaviour, Client, Reply, below_400
from harness.traffic.load.http_values import Headers, Path, Statuses

Method = Annotated[str, Field(pattern=r"^[A-Z]+$")]


class Http(Behaviour):
    """``method``, ``path``, ``headers``, ``body``; ``expect``: the good status or a list (default: all below 400).

    ``http2: true`` sends with HTTP/2; without TLS this needs a server that expects it (prior knowledge).

    A header such as ``Authorization: "Bearer ${env:SHOP_TOKEN}"`` keeps the token out of files and reports.
    """

    method: Method = "GET"
    path: Path = "/"
    headers: Headers = Field(default_factory=dict)
    body: str = ""
    expect: Statuses = ()
    http2: bool = Field(default=False, strict=True)

    def arrive(self, client: Client, number: int) -> None:  # noqa: ARG002  every arrival is the same
        client.request(self.method, self.path, body=self.body.encode(), headers=self.headers, check=self._check)

    def _check(self, reply: Reply) -> str:
        if not self.expect:
            return below_400(reply)
        return OK if reply.status in self.expect else str(reply.status)
