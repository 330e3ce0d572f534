"""The behaviours that come with the harness: what they send, and what they call good."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.common.errors import InputError
from harness.traffic.load.behaviour import Call, Reply
from harness.traffic.load.catalogue import Catalogue


@dataclass
class Answer:
    status: int
    body: bytes = b""

    def header(self, name: str) -> str:
        return ""


@dataclass
class Sent:
    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    outcome: str
    options: dict[str, Any]


@dataclass
class FakeClient:
    """Answers every request with the same, and keeps what was sent and what the behaviour made of the answer."""

    answer: Answer
    run: str = "r1"
    sent: list[Sent] = field(default_factory=list)

    def request(self, method: str, path: str, *, body: bytes = b"", headers=None, check=None, **options: Any) -> Reply:
        outcome = check(self.answer) if check else ""
        self.sent.append(Sent(method, path, body, headers or {}, outcome, options))
        return self.answer

    def measure(self, kind: str, name: str, key: str = "") -> AbstractContextManager[Call]:
        return nullcontext()


def arrive(behaviour: str, options: dict[str, object], answer: Answer, number: int = 7) -> Sent:
    client = FakeClient(answer)
    Catalogue().behaviour(behaviour, options).arrive(client, number)
    (sent,) = client.sent
    return sent


def test_http_sends_its_options() -> None:
    options = {"method": "POST", "path": "/token?x=1", "headers": {"X-Shop": "a"}, "body": "é"}
    sent = arrive("http", options, Answer(200))
    assert (sent.method, sent.path, sent.headers, sent.body) == ("POST", "/token?x=1", {"X-Shop": "a"}, "é".encode())


@pytest.mark.parametrize(
    ("expect", "status", "outcome"),
    [((), 204, "ok"), ((), 302, "ok"), ((), 404, "404"), (404, 404, "ok"), ([200, 201], 202, "202")],
)
def test_http_calls_good_what_was_expected(expect: object, status: int, outcome: str) -> None:
    assert arrive("http", {"expect": expect}, Answer(status)).outcome == outcome


@pytest.mark.parametrize(
    "options", [{"path": "/a b"}, {"path": "/a\r\nX: y"}, {"headers": {"X": "a\r\nY: b"}}, {"headers": {"X Y": "a"}}]
)
def test_http_rejects_options_that_smuggle_another_request(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Catalogue().behaviour("http", options)


def test_etcd_put_writes_and_reports_a_unique_key() -> None:
    sent = arrive("etcd_put", {"prefix": "shop/"}, Answer(200, b'{"header":{"revision":"4"}}'), number=12)
    assert sent.options["key"] == "shop/r1/000000012"
    assert base64.b64decode(json.loads(sent.body)["key"]).decode() == sent.options["key"]
    assert (sent.path, sent.outcome) == ("/v3/kv/put", "ok")


@pytest.mark.parametrize(("answer", "outcome"), [(Answer(503, b"x"), "503"), (Answer(200, b"{}"), "no revision")])
def test_etcd_put_succeeds_only_with_a_revision_from_etcd(answer: Answer, outcome: str) -> None:
    assert arrive("etcd_put", {}, answer).outcome == outcome


def test_podinfo_store_names_a_file_by_its_checksum() -> None:
    sent = arrive("podinfo_store", {"size": 100}, Answer(202, b"{}"))
    assert (sent.method, sent.path, len(sent.body)) == ("POST", "/store", 100)
    assert sent.options["key"] == hashlib.sha1(sent.body, usedforsecurity=False).hexdigest()
    assert sent.body.startswith(b"r1/000000007.")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [(202, None, "ok"), (202, b"{}", "not stored"), (200, b"{}", "not stored"), (503, b"", "503")],
)
def test_podinfo_store_succeeds_only_with_its_checksum(status: int, body: bytes | None, outcome: str) -> None:
    key = arrive("podinfo_store", {}, Answer(202)).options["key"]
    answer = json.dumps({"hash": key}).encode() if body is None else body
    assert arrive("podinfo_store", {}, Answer(status, answer)).outcome == outcome


@dataclass
class FakeCall:
    outcome: str = "ok"


class FakeRedis:
    """A client whose connection answers with the same line, and keeps the command and what was measured."""

    def __init__(self, answer: bytes) -> None:
        self.run, self._answer, self.call, self.command = "r1", answer, FakeCall(), b""
        self.measured: tuple[str, str, str] | None = None

    def measure(self, kind: str, name: str, key: str = "") -> AbstractContextManager[FakeCall]:
        self.measured = (kind, name, key)
        return nullcontext(self.call)

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(self._answer)
            theirs.shutdown(socket.SHUT_WR)
            yield ours
            self.command = theirs.recv(1000)


@pytest.mark.parametrize(
    ("answer", "outcome"), [(b":12\r\n", "ok"), (b"-OOM command not allowed\r\n", "-OOM command not allowed")]
)
def test_redis_push_reports_a_job_that_was_accepted(answer: bytes, outcome: str) -> None:
    client = FakeRedis(answer)
    Catalogue().behaviour("redis_push", {"list": "tasks"}).arrive(client, 12)  # type: ignore[arg-type]
    assert client.command == b"LPUSH tasks r1/000000012\r\n"
    assert client.measured == ("Redis", "LPUSH", "r1/000000012")
    assert client.call.outcome == outcome


def test_redis_push_without_an_answer_fails() -> None:
    with pytest.raises(OSError, match="closed without an answer"):
        Catalogue().behaviour("redis_push", {}).arrive(FakeRedis(b":1"), 1)  # type: ignore[arg-type]


def test_redis_push_looks_for_redis_without_a_job() -> None:
    client = FakeRedis(b"+PONG\r\n")
    Catalogue().behaviour("redis_push", {}).probe(client)  # type: ignore[arg-type]
    assert client.command == b"PING\r\n"


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("tcp", {"send": "a", "sendHex": "00"}, "found send and sendHex, expected one of them"),
        ("tcp", {"expectHex": "0"}, "options.expectHex"),
        ("tcp", {"sent": "a"}, "unknown option of the load behaviour tcp"),
        ("grpc", {"method": "Check"}, "options.method"),
        ("grpc", {"hex": "00", "json": {}}, "found hex and json, expected one of them"),
        ("grpc", {"service": "a", "method": "/a.B/C"}, "expected it for the health check only"),
        ("grpc", {"expect": 17}, "options.expect"),
        ("websocket", {"path": "chat"}, "options.path"),
        ("http", {"http2": "yes"}, "options.http2"),
        ("redis_push", {"list": "a b"}, "options.list"),
    ],
)
def test_options_of_other_protocols_are_checked(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Catalogue().behaviour(name, options)
