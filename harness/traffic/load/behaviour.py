'''Load behaviours: what one arrival does. A behaviour is one class in one file, ``loadprofiles/<name>.py``:

::

    """Reads one article."""
    from harness import Behaviour, Client

    class Article(Behaviour):
        """Gets an article by its number."""

        articles: int = 100                                   # an option: typed, checked before anything runs

        def arrive(self, client: Client, number: int) -> None:
            client.request("GET", f"/articles/{number % self.articles}", name="GET /articles/N")

An experiment refers to it by name and sets its options (``load: {behaviour: article, options: {articles: 7}}``). The
harness itself imports the file too, to check the options, so the file must not import ``locust`` or ``gevent`` at
module level, because both patch the importing process. Importing them inside ``arrive`` is allowed.
'''

from __future__ import annotations

import socket
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from harness.model.operation import NOTHING, Kind, Outcome
from harness.model.quantities import Duration

OK = "ok"

TimeLimit = Annotated[Duration, Field(gt=0)]


class Reply(Protocol):
    """An HTTP response."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...

    def header(self, name: str) -> str:
        """Return the value of a header, or "" if it is missing."""


class Call(Protocol):
    """One measured request in progress. Set ``outcome`` to a short description if it did not end with ``ok``."""

    outcome: str


class Pending(Protocol):
    """One operation on a database in progress. Set ``outcome``, which is ``unknown`` at first, and what was read."""

    outcome: Outcome
    value: int


def below_400(reply: Reply) -> str:
    """Return the outcome of a response: ``ok`` for a status below 400, else the status."""
    return OK if reply.status < 400 else str(reply.status)


class Client(Protocol):
    """The client of one arrival. Every request is timed, recorded and counted.

    The latency of an arrival's first request counts from the arrival's intended start, that of later ones from their
    own start.
    """

    @property
    def run(self) -> str:
        """The run ID, for keys that are unique to the run."""

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        name: str = "",
        key: str = "",
        check: Callable[[Reply], str] = below_400,
    ) -> Reply | None:
        """Send one HTTP request to the target; return the response, or None if there was none.

        ``name`` groups requests in reports and must have few different values (default: method and path). ``key`` is
        the key that the request writes, for the durability objective. ``check`` maps a response to an outcome.
        Redirects are not followed, and no request is ever retried. The target's path prefix and credentials are added.
        A behaviour with a field ``http2`` that is true sends with HTTP/2.
        """

    def pause(self, seconds: float) -> None:
        """Wait between two requests of an arrival. It does not return once the load has ended: the arrival ends too."""

    def connection(self) -> AbstractContextManager[socket.socket]:
        """Return a context with a socket connected to the target, with TLS if the target has it; use it in ``measure``.

        The read timeout applies to the whole body. With ``connection: kept`` the socket is reused if the body succeeds.
        Raises OSError.
        """

    def http_path(self, path: str) -> str:
        """Return a path with the target's prefix, for a behaviour that speaks HTTP over ``connection`` itself."""

    def http_headers(self) -> dict[str, str]:
        """Return the headers Host, with credentials Authorization, and with tracing traceparent, for the same."""

    def measure(self, kind: str, name: str, key: str = "") -> AbstractContextManager[Call]:
        """Time a request of any other protocol. An OSError inside is caught and recorded as the outcome."""

    def operation(
        self, client: int, kind: Kind, key: str, value: int = NOTHING, expected: int = NOTHING
    ) -> AbstractContextManager[Pending]:
        """Return a context for one operation on a database, for the objective ``consistency``; send its requests in it.

        ``client`` is the number of a client that has one operation at a time, and none after an unknown one. See
        ``Registers``, which chooses clients, keys and values.
        """


class Behaviour(BaseModel):
    """Base of all behaviours: the fields of a subclass are its options (camelCase in YAML).

    With ``connection: new`` all pods are reached, since kube-proxy balances connections and not requests; many real
    clients behave like ``kept``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    # What TLS offers as the protocol (ALPN); empty for none.
    alpn: ClassVar[str] = "http/1.1"
    # Whether requests have the credentials in the target's ``auth``; if not, a target with them is refused.
    authorizes: ClassVar[bool] = True

    connection: Literal["new", "kept"] = Field(
        default="new", description="new: one connection per request; kept: reuse connections between requests"
    )
    connect_timeout: TimeLimit = Field(default=2.0, description="the time limit for connecting")
    read_timeout: TimeLimit = Field(
        default=2.0, description="the time limit for sending the request and receiving the whole response"
    )

    @property
    def requests(self) -> tuple[int, int]:
        """The fewest and the most requests of one arrival: forecasts and ``abortOnBreach`` depend on them."""
        return 1, 1

    @property
    def pauses(self) -> float:
        """The longest time in seconds that one arrival spends in ``Client.pause``, all together."""
        return 0.0

    @property
    def longest(self) -> float:
        """The longest time in seconds that one arrival may take: so many of them may be in progress at a time."""
        return self.requests[1] * (self.connect_timeout + self.read_timeout) + self.pauses

    @abstractmethod
    def arrive(self, client: Client, number: int) -> None:
        """Send the requests of one arrival. ``number`` counts arrivals from 1; many arrivals run concurrently."""

    def probe(self, client: Client) -> None:
        """Check that the target answers, before the load starts; not recorded. By default this is one arrival.

        Override it if an arrival must not happen outside the experiment.
        """
        self.arrive(client, 0)
