"""The clients of a database: what they do, how they record it, and etcd's answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from harness import NOTHING, Client, Outcome, Registers
from harness.histories.check import check
from harness.model.history import History, HistoryStore
from harness.model.operation import Operation
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.reader import RecordReader
from harness.traffic.load.wire import operation_line


@dataclass
class Reply:
    status: int
    body: bytes


@dataclass
class FakeClient:
    """Answers requests from a script, and keeps the operations; each takes a second."""

    replies: list[Reply | None] = field(default_factory=list)
    run: str = "r1"
    done: list[Operation] = field(default_factory=list)
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    now: float = 0.0

    def request(self, method: str, path: str, *, body: bytes = b"", check: Any = None, **options: Any) -> Reply | None:
        self.sent.append((path, json.loads(body) if body else {}))
        reply = self.replies.pop(0)
        if reply is not None and check:
            self.outcomes.append(check(reply))
        return reply

    @contextmanager
    def operation(
        self, client: int, kind: Any, key: str, value: int = NOTHING, expected: int = NOTHING
    ) -> Iterator[Any]:
        pending = Pending("unknown", value)
        begun = self.now
        yield pending
        self.now += 1.0
        self.done.append(Operation(client, begun, self.now - 0.5, kind, key, pending.value, expected, pending.outcome))


@dataclass
class Pending:
    outcome: Outcome
    value: int


class Memory(Registers):
    """A correct store, except that a write whose number is in ``doubtful`` has no answer."""

    doubtful: tuple[int, ...] = ()
    _values: dict[str, int] = PrivateAttr(default_factory=dict)

    def read(self, client: Client, key: str) -> int | None:
        return self._values.get(key, NOTHING)

    def write(self, client: Client, key: str, value: int) -> Outcome:
        self._values[key] = value
        return "unknown" if value in self.doubtful else "ok"

    def swap(self, client: Client, key: str, expected: int, value: int) -> Outcome:
        if self._values.get(key, NOTHING) != expected:
            return "failed"
        self._values[key] = value
        return "ok"


def used(behaviour: Registers, arrivals: int = 2000) -> list[Operation]:
    client = FakeClient()
    for number in range(1, arrivals + 1):
        behaviour.arrive(client, number)
    return client.done


def test_operations_are_shared_out_as_declared() -> None:
    done = used(Memory(reads=0.5, swaps=0.2))
    share = {kind: sum(one.kind == kind for one in done) / len(done) for kind in ("read", "cas", "write")}
    assert share["read"] == pytest.approx(0.5, abs=0.05)
    assert share["cas"] == pytest.approx(0.2, abs=0.05)
    assert share["write"] == pytest.approx(0.3, abs=0.05)
    assert check(History(done)).anomalies.counts == {}


def test_every_value_is_written_once() -> None:
    written = [one.value for one in used(Memory()) if one.kind != "read"]
    assert len(written) == len(set(written)) > 900


def test_old_keys_are_read_and_not_written() -> None:
    done = used(Memory(keys=2, operations_per_key=50))
    generations = [int(one.key.rpartition("/")[2].split("-")[0]) for one in done]
    now = [number // 100 for number in range(1, len(done) + 1)]
    earlier = [one.kind for one, made, present in zip(done, generations, now, strict=True) if made != present]
    assert set(earlier) == {"read"}
    assert len(earlier) == pytest.approx(0.1 * len(done), rel=0.4)


def test_client_in_doubt_is_replaced() -> None:
    done = used(Memory(reads=0.0, swaps=0.0, doubtful=(3, 5)), arrivals=7)
    assert [one.client for one in done] == [0, 0, 0, 1, 1, 2, 2]
    assert [one.outcome for one in done] == ["ok", "ok", "unknown", "ok", "unknown", "ok", "ok"]


def etcd() -> Registers:
    found = Catalogue().behaviour("etcd_registers", {})
    assert isinstance(found, Registers)
    return found


def answered(**answer: Any) -> Reply:
    return Reply(200, json.dumps({"header": {"revision": "7"}, **answer}).encode())


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_etcd_read_returns_the_value_or_nothing() -> None:
    client = FakeClient([answered(kvs=[{"value": encoded("12")}]), answered(), Reply(503, b""), None])
    assert [etcd().read(client, "k") for _ in range(4)] == [12, NOTHING, None, None]
    assert client.sent[0] == ("/v3/kv/range", {"key": encoded("k")})
    assert client.outcomes == ["ok", "ok", "503"]


def test_etcd_write_is_in_doubt_without_a_revision() -> None:
    client = FakeClient([answered(), Reply(200, b"{}"), Reply(503, b""), None])
    assert [etcd().write(client, "k", 3) for _ in range(4)] == ["ok", "unknown", "unknown", "unknown"]
    assert client.sent[0] == ("/v3/kv/put", {"key": encoded("k"), "value": encoded("3")})


def test_etcd_swap_fails_only_if_etcd_compared() -> None:
    client = FakeClient([answered(succeeded=True), answered(), Reply(503, b""), None])
    assert [etcd().swap(client, "k", 3, 4) for _ in range(4)] == ["ok", "failed", "unknown", "unknown"]
    (path, sent), *_ = client.sent
    assert path == "/v3/kv/txn"
    assert sent["compare"] == [{"key": encoded("k"), "target": "VALUE", "result": "EQUAL", "value": encoded("3")}]
    assert sent["success"] == [{"requestPut": {"key": encoded("k"), "value": encoded("4")}}]


def test_operations_survive_the_record(tmp_path: Path) -> None:
    done = used(Memory(doubtful=(3, 5)), arrivals=300)
    reader = RecordReader(tmp_path / "records")
    reader.file.write_bytes(b"".join(map(operation_line, done)))
    reader.poll()
    store = HistoryStore()
    store.append(reader.take_operations())
    expected = [replace(one, completed=float("inf")) if one.outcome == "unknown" else one for one in done]
    assert list(History.of(store)) == expected
    assert (reader.damaged, reader.take_operations()) == (0, [])
    # An infinite completion is null in the record of several workers.
    reader.file.write_bytes(reader.file.read_bytes() + b"".join(map(operation_line, expected)))
    reader.poll()
    store.append(reader.take_operations())
    assert list(History.of(store))[300:] == expected


@pytest.mark.parametrize(
    "line",
    [
        b'["operation", 1, 1.0, 2.0, "erase", "k", 1, -1, "ok"]\n',
        b'["operation", 1, 1.0, 2.0, "read", "k", 1, -1, "maybe"]\n',
        b'["operation", 1, "soon", 2.0, "read", "k", 1, -1, "ok"]\n',
        b'["operation", 1, 1.0, 2.0, "read", "k", 1]\n',
        b'["operation", 1, 1.0, 2.0, "read", "k", 1.5, -1, "ok"]\n',
        b'["operation", 1, 1.0, 2.0, "read", "k", 9223372036854775808, -1, "ok"]\n',
        b'["operation", 1, 1.0, 2.0, "read", 5, 1, -1, "ok"]\n',
    ],
)
def test_damaged_operation_is_counted(tmp_path: Path, line: bytes) -> None:
    reader = RecordReader(tmp_path / "records")
    reader.file.write_bytes(line)
    reader.poll()
    assert (reader.damaged, reader.take_operations()) == (1, [])


def test_clock_error_makes_operations_longer() -> None:
    store = HistoryStore()
    store.append([(1, 11.0, 12.0, "write", "k", 1, NOTHING, "ok")])
    (one,) = History.of(store, origin=10.0, error=0.25)
    assert (one.invoked, one.completed) == (0.75, 2.25)
