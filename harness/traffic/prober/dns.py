"""The DNS probe: one query over UDP, without retries. Wire format: RFC 1035, section 4."""

from __future__ import annotations

import asyncio
import secrets
import struct

from harness.traffic.prober.exchange import Prober, ProtocolError
from harness.traffic.prober.wire import OK

TYPES = {"A": 1, "AAAA": 28}
_HEADER = struct.Struct("!6H")
_ANSWER, _CODE, _TRUNCATED = 0x8000, 0x000F, 0x0200
_RECURSION_DESIRED = 0x0100
CODES = {1: "format error", 2: "server failure", 3: "no such name", 4: "not implemented", 5: "query refused"}


def question(number: int, name: str, kind: str) -> bytes:
    """Encode a query with the ID ``number`` for one name and record type."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.rstrip(".").split("."))
    header = _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack("!2H", TYPES[kind], 1)


def outcome(query: bytes, answer: bytes) -> str | None:
    """Return the outcome of an answer to ``query``; None if it answers another query. Raises ProtocolError."""
    if len(answer) < _HEADER.size:
        raise ProtocolError(f"{len(answer)} bytes are too short for a DNS message")
    number, flags, questions, answers, _, _ = _HEADER.unpack_from(answer)
    if number != int.from_bytes(query[:2], "big") or not flags & _ANSWER:
        return None
    code = flags & _CODE
    if code:
        return CODES.get(code, f"code {code}")
    # DNS names are case-insensitive (RFC 4343), and servers may echo them in another case.
    echoed = answer[_HEADER.size : _HEADER.size + len(query) - _HEADER.size]
    if questions != 1 or echoed.lower() != query[_HEADER.size :].lower():
        raise ProtocolError("the answer contains another question")
    if flags & _TRUNCATED:
        return "truncated"
    return OK if answers else "no address"


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, query: bytes) -> None:
        self.query = query
        self.answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        # UDP may deliver an answer twice.
        if self.answered.done():
            return
        try:
            result = outcome(self.query, data)
        except ProtocolError as error:
            self.answered.set_exception(error)
            return
        if result is not None:
            self.answered.set_result(result)

    def error_received(self, exc: Exception) -> None:
        # ICMP: the port is closed, or the host cannot be reached.
        if not self.answered.done():
            self.answered.set_exception(exc)


class DnsProber(Prober):
    """A prober with a new socket, and so a new source port, for every query, like resolvers. Options: name, type."""

    async def probe(self) -> str:
        options = self.settings.options
        query = question(secrets.randbits(16), options["name"], options["type"])
        loop = asyncio.get_running_loop()
        address = (self.settings.host, self.settings.port)
        transport, protocol = await loop.create_datagram_endpoint(lambda: _Socket(query), remote_addr=address)
        try:
            transport.sendto(query)
            return await protocol.answered
        finally:
            transport.abort()
