'''What one arrival does. A behaviour is one class in one file, ``loadprofiles/<name>.py``:

::

    """Reads one article."""
    from harness.load.behaviour import Behaviour, Client

    class Article(Behaviour):
        """Gets an article by its number."""

        articles: int = 100                                   # an option: typed, checked before anything runs

        def arrive(self, client: Client, number: int) -> None:
            client.request("GET", f"/articles/{number % self.articles}", name="GET /articles/N")

An experiment names it and gives its options (``load: {behaviour: article, options: {articles: 7}}``). The file is also
imported by the harness itself, to check the options, so it must not import ``locust`` or ``gevent`` at its top (both
change the whole process); inside ``arrive`` it may.
'''

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from harness.quantities import Duration

OK = "ok"

TimeLimit = Annotated[Duration, Field(gt=0)]


class Reply(Protocol):
    """An HTTP answer."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...

    def header(self, name: str) -> str:
        """A header's value, or an empty text."""


class Call(Protocol):
    """One measured request while it runs. Set ``outcome`` to a short word when it ended other than ``ok``."""

    outcome: str


def below_400(reply: Reply) -> str:
    """The outcome of an answer: ``ok`` below status 400, else the status."""
    return OK if reply.status < 400 else str(reply.status)


class Client(Protocol):
    """What one arrival sends its requests with. Every request is timed, recorded and counted.

    The first request of an arrival counts its latency from the arrival's intended start, later ones from their own.
    """

    @property
    def run(self) -> str:
        """The id of the run, for keys that are unique to it."""

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
        """One HTTP request to the target; None when there was no answer.

        ``name`` groups requests in every report and must not vary without bound (default: method and path);
        ``key`` is what the request writes, for the durability objective; ``check`` turns an answer into an outcome.
        Redirects are answers, not followed; nothing is ever sent twice.
        """

    def measure(self, kind: str, name: str, key: str = "") -> AbstractContextManager[Call]:
        """Time a request of any other protocol. An OSError inside ends it as failed and goes no further."""


class Behaviour(BaseModel):
    """Base of all behaviours: the fields of a subclass are its options (camelCase in YAML).

    connection
        ``new`` dials for every request, which is what reaches every pod: kube-proxy balances connections, not requests.
        ``kept`` keeps connections alive between requests, as many clients do.
    connectTimeout, readTimeout
        The longest that dialling may take, and sending plus the whole answer, in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    connection: Literal["new", "kept"] = "new"
    connect_timeout: TimeLimit = 2.0
    read_timeout: TimeLimit = 2.0

    @abstractmethod
    def arrive(self, client: Client, number: int) -> None:
        """Do what one arrival does. ``number`` counts arrivals from 1; many arrivals run at the same time."""

    def probe(self, client: Client) -> None:
        """Ask the target whether it is there, before the load begins; not recorded. Override it where an arrival
        must not happen outside the experiment."""
        self.arrive(client, 0)
