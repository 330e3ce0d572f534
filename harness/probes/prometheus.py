"""A typed adapter over prometheus-api-client: pinned times, warnings kept, and no number where there is none.

::

    PrometheusError
    ├── PrometheusUnreachable  it does not answer, or what answers is no Prometheus
    │   └── PrometheusAway     for now: the connection failed, or it answered with a 5xx; asked again
    ├── QueryRefused           it answered, and the answer is no: a mistake in the query, for instance
    ├── NoData                 the query is fine and selects nothing
    ├── NotANumber             NaN or infinite: a ratio whose total is zero, for instance
    └── Ambiguous              several series where one was meant
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import yaml
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect
from urllib3.util.retry import Retry

from harness.clock import Clock, SystemClock, parse_kubernetes_time
from harness.errors import HarnessError
from harness.probes.prometheus_session import Via, open_session
from harness.prometheus_access import PrometheusAccess
from harness.quantities import parse_duration
from harness.waiting import retrying

TIMEOUT = 10  # seconds
# Two more tries. A query whose time is pinned gives the same answer then.
ATTEMPTS = 3
NOT_FOUND = 404
UNKNOWN = "unknown version"
RETRYABLE = frozenset({429, 500, 502, 503, 504})


class PrometheusError(HarnessError):
    """Prometheus gave no number that can be judged."""


class PrometheusUnreachable(PrometheusError):
    """It does not answer, or what answers is no Prometheus."""


class PrometheusAway(PrometheusUnreachable):
    """It does not answer for now."""

    @property
    def retryable(self) -> bool:
        return True


class QueryRefused(PrometheusError):
    """It answered, and the answer is no."""


class NoData(PrometheusError):
    """The query selects nothing."""


class NotANumber(PrometheusError):
    """The value is NaN or infinite."""


class Ambiguous(PrometheusError):
    """Several series where one was meant."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series; ``at`` is Unix seconds by Prometheus' clock."""

    labels: Mapping[str, str]
    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Number:
    """A single finite value. ``samples`` is how many raw samples the query read, None when the server does not say;
    ``warnings`` say why the value may be wrong, ``notes`` are mere hints; both are the server's own."""

    value: float
    samples: int | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Prometheus:
    """One server that speaks Prometheus' HTTP API below ``url``, which may hold a path: Prometheus itself, Thanos
    (``/``), Mimir (``/prometheus``), VictoriaMetrics (``/select/0/prometheus``).

    Every method raises PrometheusError. One instance serves one thread.
    """

    def __init__(
        self,
        url: str,
        access: PrometheusAccess | None = None,
        *,
        via: Via | None = None,
        trust_env: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """``via`` takes the place of HTTP; without ``trust_env`` proxies and .netrc of the environment are ignored."""
        self.url = url.rstrip("/")
        self._access, self._via = access or PrometheusAccess(), via
        self._clock = clock or SystemClock()
        self._session = open_session(self._access, trust_env=trust_env)
        self._session.hooks["response"].append(self._keep)
        # Tried again here, not in the connection pool: one policy for whatever the requests go through.
        self._connect = PrometheusConnect(self.url, retry=Retry(0), session=self._session, timeout=TIMEOUT)
        if via is not None:
            # The longer prefix wins over the adapter that the client has just mounted.
            self._session.mount(f"{self.url}/", via)
        self._answer: dict[str, Any] = {}
        self._status_code = 0

    def clone(self) -> Prometheus:
        """The same server over connections of its own, for another thread."""
        via = self._via.clone() if self._via else None
        return Prometheus(self.url, self._access, via=via, trust_env=self._session.trust_env, clock=self._clock)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def ready(self) -> str | None:
        """None when it is ready to be asked, else why not."""
        try:
            answer = self._session.get(f"{self.url}/-/ready", timeout=TIMEOUT)
            if answer.status_code == NOT_FOUND:
                # What only speaks Prometheus' API has other pages for its health; a query tells as much.
                self.instant("vector(1)")
                return None
        except requests.RequestException as error:
            return f"{self.place} does not answer: {self._said(error)}"
        except PrometheusError as error:
            return f"{self.place} is not ready: {error}"
        words = self._said(answer.text.strip(), 200)
        return None if answer.ok else f"{self.place} is not ready: {answer.status_code} {words}"

    @property
    def place(self) -> str:
        """The URL without a password."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def version(self) -> str:
        """``3.13.0``, for instance."""
        try:
            return str(self._status("buildinfo").get("version") or UNKNOWN)
        except QueryRefused:
            return UNKNOWN

    def started(self) -> float | None:
        """When the server's process started, in Unix seconds by its own clock; None when it does not tell."""
        try:
            return parse_kubernetes_time(str(self._status("runtimeinfo").get("startTime")))
        except (QueryRefused, ValueError):
            return None

    def describe(self) -> str:
        """Where it is and what it is, for people."""
        return f"Prometheus {self.version()} at {self.place}"

    def scrape_interval(self, namespace: str | None = None) -> float:
        """Seconds between two scrapes, as the server really does it: the longest one among the targets of a namespace;
        without a namespace, or where it has no targets, the server's global one; where that is kept secret, measured.
        """
        own = self._intervals(namespace) if namespace else []
        if own:
            return max(own)
        try:
            settings = yaml.safe_load(str(self._status("config").get("yaml", "")))
            return _seconds(settings["global"]["scrape_interval"])
        except (PrometheusError, LookupError, TypeError, yaml.YAMLError):
            return self._measured_interval()

    def instant(self, query: str, at: float | None = None) -> list[Sample]:
        """The value of every series at an instant, Unix seconds; None means now. A scalar has no labels."""
        pinned: dict[str, Any] = {} if at is None else {"time": at}
        # Thanos would rather answer with a part of the truth; the others do not know the word and pass over it.
        params = {**pinned, "stats": "all", "partial_response": "false"}
        result = self._ask(lambda: self._connect.custom_query(query, params=params), query)
        if result and not isinstance(result[0], dict):
            return [Sample({}, float(result[0]), float(result[1]))]
        return [_sample(series["metric"], series["value"]) for series in result]

    def range(self, query: str, start: float, end: float, step: float) -> list[Sample]:
        """All values of all series from start to end (Unix seconds), a step apart, in the order of time."""
        first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        # The client rounds times to whole seconds; these override them.
        exact = {"start": start, "end": end, "partial_response": "false"}
        result = self._ask(
            lambda: self._connect.custom_query_range(query, first, last, step=f"{step:g}", params=exact), query
        )
        samples = [_sample(series["metric"], value) for series in result for value in series["values"]]
        return sorted(samples, key=lambda sample: sample.at)

    def number(self, query: str, at: float | None = None) -> Number:
        """The one finite value of a query. Raises NoData, NotANumber or Ambiguous when there is none."""
        samples = self.instant(query, at)
        if not samples:
            raise NoData(f"no series at all: {query}")
        if len(samples) > 1:
            raise Ambiguous(f"{len(samples)} series where one was meant, {dict(samples[0].labels)} for one: {query}")
        if not math.isfinite(samples[0].value):
            raise NotANumber(f"{samples[0].value}: {query}")
        stats = (self._answer.get("data") or {}).get("stats") or {}
        read = (stats.get("samples") or {}).get("totalQueryableSamples")
        return Number(samples[0].value, read, self.warnings(), self._words("infos"))

    def warnings(self) -> tuple[str, ...]:
        """Why the last answer may be wrong, in the server's words: a store did not answer, buckets do not match."""
        partial = ("the server says that the answer is partial",) if self._answer.get("isPartial") is True else ()
        return partial + self._words("warnings")

    def _words(self, kind: str) -> tuple[str, ...]:
        return tuple(self._said(str(text)) for text in self._answer.get(kind) or ())

    def _intervals(self, namespace: str) -> list[float]:
        try:
            targets = self._ask(lambda: self._connect.get_targets(state="active"), "targets")
        except QueryRefused:
            # Those who only store what others scrape have no targets.
            return []
        return [
            _seconds(target["scrapeInterval"])
            for target in targets["activeTargets"]
            if target.get("labels", {}).get("namespace") == namespace and "scrapeInterval" in target
        ]

    def _measured_interval(self) -> float:
        window = 300.0
        return window / max(1.0, self.number(f"max(count_over_time(up[{window:.0f}s]))").value)

    def _status(self, page: str) -> Mapping[str, Any]:
        def get() -> object:
            answer = self._session.get(f"{self.url}/api/v1/status/{page}", timeout=TIMEOUT)
            if not answer.ok:
                raise PrometheusApiClientException(f"HTTP Status Code {answer.status_code}")
            return answer.json()["data"]

        data: Mapping[str, Any] = self._ask(get, page)
        return data

    def _ask(self, call: Callable[[], Any], what: str) -> Any:  # noqa: ANN401 - JSON, checked by the callers
        return retrying(self._clock, ATTEMPTS)(self._ask_once, call, what)

    def _ask_once(self, call: Callable[[], Any], what: str) -> Any:  # noqa: ANN401
        self._answer, self._status_code = {}, 0
        try:
            return call()
        except requests.ConnectionError as error:
            raise PrometheusAway(f"{self.place} does not answer: {self._said(error)}") from None
        except requests.RequestException as error:
            raise PrometheusUnreachable(f"{self.place} does not answer: {self._said(error)}") from None
        except PrometheusApiClientException as error:
            said = self._said(self._answer.get("error") or error)
            if self._status_code in RETRYABLE:
                raise PrometheusAway(f"{self.place} answers {self._status_code}: {said}: {what}") from None
            raise QueryRefused(f"{said}: {what}") from None
        except (LookupError, TypeError, AttributeError) as error:
            raise PrometheusUnreachable(
                f"{self.place} gave no answer as Prometheus would: {self._said(error)}"
            ) from None

    def _said(self, words: object, most: int = 300) -> str:
        """What a server or a library said, short and without secrets: it may quote the request."""
        text = repr(words) if isinstance(words, LookupError | TypeError | AttributeError) else str(words)
        return self._access.cleaned(text, self.url)[:most]

    def _keep(self, response: requests.Response, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - the hook's form
        # The client hands out the result alone: warnings, statistics and the words of an error are only here.
        self._status_code = response.status_code
        try:
            answer = response.json()
        except requests.JSONDecodeError:
            return
        self._answer = answer if isinstance(answer, dict) else {}


def escape(value: str) -> str:
    """A label's value as it must stand between double quotes in a query."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _sample(labels: Mapping[str, str], pair: Sequence[Any]) -> Sample:
    # float() reads "NaN" and "+Inf" as Prometheus writes them.
    return Sample(labels, float(pair[0]), float(pair[1]))


def _seconds(text: object) -> float:
    try:
        return float(str(parse_duration(text)))
    except ValueError as error:
        raise QueryRefused(f"the scrape interval cannot be read: {error}") from error
