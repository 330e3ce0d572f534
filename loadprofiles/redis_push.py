"""Pushes a unique job onto a list in Redis, so that later every accepted job can be looked for."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from harness import Behaviour, Client

READ = 4096


class RedisPush(Behaviour):
    """Pushes ``<run>/<number>`` onto ``list``. ``ok`` means that Redis answered with the length of the list.

    Any other outcome leaves it open whether the job is there: a lost answer is not a lost job.
    """

    alpn: ClassVar[str] = ""
    authorizes: ClassVar[bool] = False

    # What needs no quotes in a command of Redis.
    list: Annotated[str, Field(pattern=r"^[\w.:-]+$")] = "jobs"

    def arrive(self, client: Client, number: int) -> None:
        key = f"{client.run}/{number:09d}"
        with client.measure("Redis", "LPUSH", key=key) as call:
            answer = _answer(client, f"LPUSH {self.list} {key}")
            if not answer.startswith(b":"):
                call.outcome = answer.decode(errors="replace").strip()

    def probe(self, client: Client) -> None:
        with client.measure("Redis", "PING"):
            _answer(client, "PING")


def _answer(client: Client, command: str) -> bytes:
    """Return the line that Redis answers. Raises OSError."""
    with client.connection() as connection:
        connection.sendall(f"{command}\r\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            new = connection.recv(READ)
            if not new:
                raise ConnectionAbortedError("closed without an answer")
            answer += new
        return answer
