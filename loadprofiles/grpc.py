"""Sends one unary gRPC call: by default a check of the gRPC health service."""

from __future__ import annotations

import json as encoding
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.traffic.load.behaviour import OK, Behaviour, Client, Reply
from harness.traffic.prober.exchange import ProtocolError
from harness.traffic.prober.grpc_health import PATH, request_message, serving_status

Method = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_.]+/[A-Za-z0-9_]+$")]
Hex = Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2})*$")]


class Grpc(Behaviour):
    """``method`` is ``/package.Service/Method``; by default the health check, of ``service`` or of the whole server.

    The message of another method is ``hex``, in hexadecimal digits, or ``json`` for servers with the JSON codec.
    The outcome is ``ok`` for the status ``expect`` (by default 0, OK); a health check must also be SERVING.
    """

    # gRPC is HTTP/2; see HttpConnections.
    http2: ClassVar[bool] = True

    method: Method = PATH
    service: str = ""
    hex: Hex = ""
    json_message: Any = Field(default=None, alias="json")
    expect: Annotated[int, Field(ge=0, le=16)] = 0

    @model_validator(mode="after")
    def _one_message(self) -> Self:
        given = [
            name
            for name, value in (("service", self.service), ("hex", self.hex), ("json", self.json_message is not None))
            if value
        ]
        if len(given) > 1:
            raise ValueError(f"found {' and '.join(given)}, expected one of them")
        if self.service and self.method != PATH:
            raise ValueError(f"found service with method {self.method}, expected it for the health check only")
        return self

    def arrive(self, client: Client, number: int) -> None:  # noqa: ARG002  every arrival is the same
        kind = "application/grpc+json" if self.json_message is not None else "application/grpc"
        limit = f"{max(1, round(self.read_timeout * 1000))}m"
        headers = {"content-type": kind, "te": "trailers", "grpc-timeout": limit}
        client.request("POST", self.method, body=self._message(), headers=headers, check=self._check)

    def _message(self) -> bytes:
        if self.json_message is not None:
            body = encoding.dumps(self.json_message).encode()
        elif self.hex or self.method != PATH:
            body = bytes.fromhex(self.hex)
        else:
            return request_message(self.service)
        # The prefix of a message: not compressed, and its length.
        return b"\x00" + len(body).to_bytes(4, "big") + body

    def _check(self, reply: Reply) -> str:
        if reply.status != 200:
            return str(reply.status)
        status = reply.header("grpc-status")
        if status != str(self.expect):
            return f"grpc status {status or 'missing'}"
        if self.method != PATH or self.expect or self.hex or self.json_message is not None:
            return OK
        try:
            return serving_status(reply.body)
        except ProtocolError:
            return "broken answer"
