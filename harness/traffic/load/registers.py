'''The clients of a database with registers: which of them does what to which key. A database is one class in one file,
``loadprofiles/<name>.py``:

::

    """Reads and writes keys of a store with a REST interface."""
    from harness import NOTHING, Client, Registers

    class Store(Registers):
        def read(self, client: Client, key: str) -> int | None:
            reply = client.request("GET", f"/keys/{key}", name="store read", check=below_500)
            ...

The operations are recorded, and the objective ``consistency`` checks them.
'''

from __future__ import annotations

from abc import abstractmethod
from heapq import heappop, heappush
from random import Random
from typing import Annotated

from pydantic import Field, PrivateAttr

from harness.model.operation import NOTHING, Outcome
from harness.model.quantities import Share
from harness.traffic.load.behaviour import Behaviour, Client

# Of the reads: those of keys that are not written any more, where nothing hides the loss of the last write.
_EARLIER = 0.2


class Registers(Behaviour):
    """Base of the clients of a database: each arrival reads, writes, or compares and swaps one key.

    Each value is written once. After a number of operations the keys are replaced by new ones, and the earlier ones are
    only read: the loss of a write stays visible, and the order of the operations on a key can be checked quickly.
    """

    keys: Annotated[int, Field(strict=True, ge=1, le=1000)] = Field(
        default=5, description="the number of keys that are written to at a time"
    )
    operations_per_key: Annotated[int, Field(strict=True, ge=10, le=10_000)] = Field(
        default=100, description="operations after which a key is replaced by a new one, about"
    )
    reads: Share = Field(default=0.5, description="the share of the operations that read")
    swaps: Share = Field(default=0.1, description="the share of the operations that compare and swap")
    prefix: Annotated[str, Field(min_length=1)] = Field(default="resilience/", description="the beginning of all keys")

    # The clients that are not busy, the number of all, and the last known values of the present keys.
    _free: list[int] = PrivateAttr(default_factory=list)
    _clients: int = PrivateAttr(default=0)
    _known: dict[str, int] = PrivateAttr(default_factory=dict)

    @abstractmethod
    def read(self, client: Client, key: str) -> int | None:
        """Read a key; return its value, NOTHING if it was never written, or None without an answer."""

    @abstractmethod
    def write(self, client: Client, key: str, value: int) -> Outcome:
        """Write a key. ``failed`` only if it certainly has no effect, ``unknown`` without an answer."""

    @abstractmethod
    def swap(self, client: Client, key: str, expected: int, value: int) -> Outcome:
        """Write a key if its value is ``expected``, else return ``failed``."""

    def arrive(self, client: Client, number: int) -> None:
        """Do one operation with a client that is not busy. The choice depends on the number alone."""
        chance = Random(number)  # noqa: S311 - nothing here is secret
        kind = chance.random()
        generation = number // (self.keys * self.operations_per_key)
        if kind < self.reads and generation and chance.random() < _EARLIER:
            generation = chance.randrange(generation)
        key = f"{self.prefix}{client.run}/{generation}-{chance.randrange(self.keys)}"
        session = heappop(self._free) if self._free else self._clients
        self._clients += session == self._clients
        if kind < self.reads:
            outcome = self._read(client, session, key)
        elif kind < self.reads + self.swaps and key in self._known:
            outcome = self._swap(client, session, key, number)
        else:
            outcome = self._write(client, session, key, number)
        # A client that does not know what its operation did is replaced by another one.
        if outcome != "unknown":
            heappush(self._free, session)

    def _read(self, client: Client, session: int, key: str) -> Outcome:
        with client.operation(session, "read", key) as pending:
            value = self.read(client, key)
            if value is not None:
                pending.outcome, pending.value = "ok", value
        if value is not None and value != NOTHING:
            self._know(key, value)
        return pending.outcome

    def _write(self, client: Client, session: int, key: str, value: int) -> Outcome:
        with client.operation(session, "write", key, value) as pending:
            pending.outcome = self.write(client, key, value)
        if pending.outcome == "ok":
            self._know(key, value)
        return pending.outcome

    def _swap(self, client: Client, session: int, key: str, value: int) -> Outcome:
        expected = self._known[key]
        with client.operation(session, "cas", key, value, expected) as pending:
            pending.outcome = self.swap(client, key, expected, value)
        if pending.outcome == "ok":
            self._know(key, value)
        return pending.outcome

    def _know(self, key: str, value: int) -> None:
        # Those of earlier keys are of no use, and there are more and more of them.
        if key not in self._known and len(self._known) > 2 * self.keys:
            self._known.clear()
        self._known[key] = value
