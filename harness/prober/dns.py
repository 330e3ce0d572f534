"""A DNS probe: one question over UDP, asked once. Wire format: RFC 1035, section 4."""

from __future__ import annotations

import asyncio
import secrets
import struct

from harness.prober.exchange import Prober, ProtocolError
from harness.prober.wire import OK

TYPES = {"A": 1, "AAAA": 28}
_HEADER = struct.Struct("!6H")
_ANSWER, _CODE, _TRUNCATED = 0x8000, 0x000F, 0x0200
_RECURSION_DESIRED = 0x0100
CODES = {1: "format error", 2: "server failure", 3: "no such name", 4: "not implemented", 5: "query refused"}


def question(number: int, name: str, kind: str) -> bytes:
    """A query for one name."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.rstrip(".").split("."))
    header = _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack("!2H", TYPES[kind], 1)


def outcome(asked: bytes, answer: bytes) -> str | None:
    """What an answer says to a question; None when it answers another one. Raises ProtocolError."""
    if len(answer) < _HEADER.size:
        raise ProtocolError(f"{len(answer)} bytes are no DNS message")
    number, flags, questions, answers, _, _ = _HEADER.unpack_from(answer)
    if number != int.from_bytes(asked[:2], "big") or not flags & _ANSWER:
        return None
    code = flags & _CODE
    if code:
        return CODES.get(code, f"code {code}")
    # Names compare without regard to case (RFC 4343), and servers may send theirs.
    echoed = answer[_HEADER.size : _HEADER.size + len(asked) - _HEADER.size]
    if questions != 1 or echoed.lower() != asked[_HEADER.size :].lower():
        raise ProtocolError("the answer repeats another question")
    if flags & _TRUNCATED:
        return "truncated"
    return OK if answers else "no address"


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, asked: bytes) -> None:
        self.asked = asked
        self.answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        if self.answered.done():
            return
        try:
            said = outcome(self.asked, data)
        except ProtocolError as error:
            self.answered.set_exception(error)
            return
        if said is not None:
            self.answered.set_result(said)

    def error_received(self, exc: Exception) -> None:
        # ICMP: the port is closed, or the host cannot be reached.
        if not self.answered.done():
            self.answered.set_exception(exc)


class DnsProber(Prober):
    """A new socket, and so a new source port, for every question, as resolvers do. Options: name, type."""

    async def probe(self) -> str:
        options = self.settings.options
        asked = question(secrets.randbits(16), options["name"], options["type"])
        loop = asyncio.get_running_loop()
        address = (self.settings.host, self.settings.port)
        transport, protocol = await loop.create_datagram_endpoint(lambda: _Socket(asked), remote_addr=address)
        try:
            transport.sendto(asked)
            return await protocol.answered
        finally:
            transport.abort()
