"""Reads, writes, and compares and swaps keys of etcd through its JSON gateway, for the objective ``consistency``."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from harness import NOTHING, OK, Client, Outcome, Registers, Reply


class EtcdRegisters(Registers):
    """Reads are linearizable, as they are by default: the member that is asked first asks the leader how far it is."""

    def read(self, client: Client, key: str) -> int | None:
        answer = _call(client, "range", {"key": _encoded(key)})
        if answer is None:
            return None
        found = answer.get("kvs")
        return int(base64.b64decode(found[0]["value"])) if found else NOTHING

    def write(self, client: Client, key: str, value: int) -> Outcome:
        answer = _call(client, "put", {"key": _encoded(key), "value": _encoded(value)})
        return "unknown" if answer is None else "ok"

    def swap(self, client: Client, key: str, expected: int, value: int) -> Outcome:
        compare = {"key": _encoded(key), "target": "VALUE", "result": "EQUAL", "value": _encoded(expected)}
        put = {"requestPut": {"key": _encoded(key), "value": _encoded(value)}}
        answer = _call(client, "txn", {"compare": [compare], "success": [put]})
        if answer is None:
            return "unknown"
        # The gateway leaves out what is false.
        return "ok" if answer.get("succeeded") else "failed"

    def probe(self, client: Client) -> None:
        client.request("GET", "/health", name="etcd health")


def _call(client: Client, what: str, message: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer, or None without one that carries a revision: an error leaves it open what etcd did."""
    answers: list[dict[str, Any]] = []

    def check(reply: Reply) -> str:
        if reply.status != 200:
            return str(reply.status)
        answer = json.loads(reply.body)
        if not answer.get("header", {}).get("revision"):
            return "no revision"
        answers.append(answer)
        return OK

    headers = {"Content-Type": "application/json"}
    body = json.dumps(message).encode()
    client.request("POST", f"/v3/kv/{what}", body=body, headers=headers, name=f"etcd {what}", check=check)
    return answers[0] if answers else None


def _encoded(text: str | int) -> str:
    return base64.b64encode(str(text).encode()).decode()
