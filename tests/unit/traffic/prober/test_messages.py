"""The messages written by hand: DNS by RFC 1035, the gRPC health check by its proto."""

from __future__ import annotations

import struct

import pytest

from harness.traffic.prober import dns
from harness.traffic.prober.exchange import ProtocolError, outcome_of
from harness.traffic.prober.grpc_health import request_message, serving_status

ASKED = dns.question(0x1234, "shop.default.svc.cluster.local", "A")


def answer(flags: int = 0x8180, answers: int = 1, number: int = 0x1234, question: bytes = ASKED[12:]) -> bytes:
    return struct.pack("!6H", number, flags, 1, answers, 0, 0) + question + b"\xc0\x0c\x00\x01" * answers


def test_a_question_is_laid_out_as_in_the_rfc() -> None:
    """Section 4.1: the example's fields, with recursion desired and one question."""
    assert dns.question(1, "f.isi.arpa.", "AAAA") == bytes.fromhex(
        "0001 0100 0001 0000 0000 0000 0166 03697369 0461727061 00 001c 0001"
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(), "ok"),
        (answer(question=ASKED[12:].swapcase().replace(b"\0\x01\0\x01".swapcase(), b"\0\x01\0\x01")), "ok"),
        (answer(answers=0), "no address"),
        (answer(flags=0x8183, answers=0), "no such name"),
        (answer(flags=0x8182, answers=0), "server failure"),
        (answer(flags=0x8380), "truncated"),
        (answer(number=0x4321), None),
        (answer(flags=0x0100), None),
    ],
)
def test_dns_outcome_follows_the_response(said: bytes, expected: str | None) -> None:
    assert dns.outcome(ASKED, said) == expected


@pytest.mark.parametrize("said", [b"", b"short", answer(question=b"\x01a" + ASKED[14:])])
def test_malformed_dns_response_is_a_protocol_error(said: bytes) -> None:
    with pytest.raises(ProtocolError):
        dns.outcome(ASKED, said)


def test_a_health_request_names_its_service_in_field_one() -> None:
    assert request_message("") == bytes(5)
    assert request_message("shop") == b"\0\0\0\0\x06\x0a\x04shop"
    assert request_message("x" * 300)[5:8] == b"\x0a\xac\x02"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"\0\0\0\0\x02\x08\x01", "ok"),
        (b"\0\0\0\0\x02\x08\x02", "not serving"),
        (b"\0\0\0\0\0", "unknown"),
        (b"\0\0\0\0\x02\x08\x07", "status 7"),
    ],
)
def test_a_health_response_is_its_status(message: bytes, expected: str) -> None:
    assert serving_status(message) == expected


@pytest.mark.parametrize("message", [b"", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x03\x08\x01", b"\0\0\0\0\x02\x10\x01"])
def test_invalid_health_response_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        serving_status(message)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionRefusedError(), "refused"),
        (BrokenPipeError(), "reset"),
        (EOFError(), "closed without an answer"),
        (OSError(113, "no route"), "no route"),
        (OSError(5, "i/o"), "OSError"),
    ],
)
def test_every_failure_has_an_outcome(error: BaseException, word: str) -> None:
    assert outcome_of(error) == word
