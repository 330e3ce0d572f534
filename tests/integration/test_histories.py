"""The clients of a database in real load processes: their operations become a history. No cluster."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.common.waiting import wait_until
from harness.histories.check import check
from harness.traffic.load.driver import RunningLoad
from harness.traffic.target.endpoint import Access
from tests.integration.test_secure_load import CLOCK, PATIENCE, plan


class Etcd(ThreadingHTTPServer):
    """The part of etcd's JSON gateway that the clients use."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self._values: dict[str, str] = {}
        self._lock = threading.Lock()

    def answered(self, what: str, message: dict[str, Any]) -> bytes:
        with self._lock:
            return json.dumps({"header": {"revision": "9"}, **self._answer(what, message)}).encode()

    def _answer(self, what: str, message: dict[str, Any]) -> dict[str, Any]:
        match what:
            case "put":
                self._values[message["key"]] = message["value"]
            case "range" if message["key"] in self._values:
                return {"kvs": [{"value": self._values[message["key"]]}]}
            case "txn":
                (compare,), (success,) = message["compare"], message["success"]
                if self._values.get(compare["key"]) == compare["value"]:
                    self._values[compare["key"]] = success["requestPut"]["value"]
                    return {"succeeded": True}
        return {}


class Handler(BaseHTTPRequestHandler):
    server: Etcd

    def do_GET(self) -> None:
        self._send(b"{}")

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(self.server.answered(self.path.rpartition("/")[2], message))

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def etcd() -> Iterator[Etcd]:
    with Etcd() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("workers", [1, 2])
def test_operations_of_all_workers_are_a_history(tmp_path: Path, etcd: Etcd, workers: int) -> None:
    given = plan(etcd, Access(), behaviour="etcd_registers", workers=workers, rate=100.0)
    with RunningLoad.start(given, tmp_path / "load", CLOCK) as load:
        load.wait_ready(PATIENCE)
        origin = CLOCK.monotonic()
        load.phase("baseline", origin)
        wait_until("requests", lambda: (len(load.requests(origin)) >= 100 or None, ""), PATIENCE, CLOCK, every=0.1)
        summary = load.stop()
        history = load.history(origin)
    assert len(history) == summary.achieved
    assert {(one.kind, one.outcome) for one in history} >= {("read", "ok"), ("write", "ok"), ("cas", "ok")}
    assert {one.client % workers for one in history} == set(range(workers))
    # The phase takes effect a little after its beginning.
    assert min(one.invoked for one in history) > -1
    assert check(history).anomalies.counts == {}
    with gzip.open(tmp_path / "load" / "load-records.jsonl.gz") as record:
        lines = [json.loads(line) for line in record]
    assert sum(line[0] == "operation" for line in lines) == len(history)
