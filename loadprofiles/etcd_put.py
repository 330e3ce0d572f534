"""Writes a unique key into etcd through its JSON gateway, so that later every acknowledged write can be looked for."""

from __future__ import annotations

import base64
import json
from typing import Annotated

from pydantic import Field

from harness import OK, Behaviour, Client, Reply


class EtcdPut(Behaviour):
    """Puts ``<prefix><run>/<number>`` with itself as its value. ``ok`` means that etcd acknowledged the write.

    Any other outcome leaves it open whether the key is there: a lost answer is not a lost write.
    """

    prefix: Annotated[str, Field(min_length=1)] = "resilience/"

    def arrive(self, client: Client, number: int) -> None:
        key = f"{self.prefix}{client.run}/{number:09d}"
        encoded = base64.b64encode(key.encode()).decode()
        body = json.dumps({"key": encoded, "value": encoded}).encode()
        headers = {"Content-Type": "application/json"}
        client.request("POST", "/v3/kv/put", body=body, headers=headers, name="etcd put", key=key, check=acknowledged)

    def probe(self, client: Client) -> None:
        client.request("GET", "/health", name="etcd health")


def acknowledged(reply: Reply) -> str:
    """``ok`` only when the answer carries the revision that etcd gave the write."""
    if reply.status != 200:
        return str(reply.status)
    return OK if b'"revision"' in reply.body else "no revision"
