"""Opens a TCP connection, sends bytes and waits for an answer."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from harness.traffic.load.behaviour import Behaviour, Client

Hex = Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2})*$")]
READ = 4096
MOST = 65536


class Tcp(Behaviour):
    """``send`` and ``expect`` are texts, ``sendHex`` and ``expectHex`` bytes in hexadecimal digits.

    With neither ``expect`` nor ``expectHex``, connecting and sending is enough. Else the outcome is ``ok`` when the
    expected bytes are in the answer. An answer of more than 64 KiB, or one that ends before, is ``unexpected answer``.
    """

    alpn: ClassVar[str] = ""
    authorizes: ClassVar[bool] = False

    send: str = ""
    send_hex: Hex = ""
    expect: str = ""
    expect_hex: Hex = ""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for text, digits, name in ((self.send, self.send_hex, "send"), (self.expect, self.expect_hex, "expect")):
            if text and digits:
                raise ValueError(f"found {name} and {name}Hex, expected one of them")
        return self

    def arrive(self, client: Client, number: int) -> None:  # noqa: ARG002  every arrival is the same
        sent = self.send.encode() or bytes.fromhex(self.send_hex)
        expected = self.expect.encode() or bytes.fromhex(self.expect_hex)
        with client.measure("TCP", "TCP"), client.connection() as connection:
            if sent:
                connection.sendall(sent)
            answer = b""
            while expected not in answer:
                new = connection.recv(READ)
                answer += new
                if not new and not answer:
                    raise ConnectionAbortedError("closed without an answer")
                if not new or len(answer) > MOST:
                    raise ConnectionAbortedError("unexpected answer")
