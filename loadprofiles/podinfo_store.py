"""Writes unique files through podinfo's API, so that later every acknowledged file can be looked for and checked."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field

from harness import OK, Behaviour, Client, Reply


class PodinfoStore(Behaviour):
    """Posts a file of ``size`` bytes, which podinfo names by its SHA-1. ``ok`` means that podinfo acknowledged it.

    Any other outcome leaves it open whether the file is there. A file whose content has another checksum than its name
    is damaged.
    """

    size: Annotated[int, Field(ge=32, le=1_048_576)] = 64

    def arrive(self, client: Client, number: int) -> None:
        body = f"{client.run}/{number:09d}".encode().ljust(self.size, b".")
        key = hashlib.sha1(body, usedforsecurity=False).hexdigest()

        def acknowledged(reply: Reply) -> str:
            if key.encode() in reply.body:
                return OK
            # When it cannot write, podinfo answers with the status 200, and the error in the body.
            return "not stored" if reply.status < 300 else str(reply.status)

        client.request("POST", "/store", body=body, name="podinfo store", key=key, check=acknowledged)

    def probe(self, client: Client) -> None:
        client.request("GET", "/healthz", name="podinfo health")
