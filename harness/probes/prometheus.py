"""A typed adapter over prometheus-api-client: pinned times, warnings kept, and no number where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
import yaml
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect
from urllib3.util.retry import Retry

from harness.clock import Clock, SystemClock, parse_kubernetes_time
from harness.probes.prometheus_answer import (
    Ambiguous,
    NoData,
    NotANumber,
    Number,
    PrometheusAway,
    PrometheusError,
    PrometheusUnreachable,
    QueryRefused,
    Sample,
    instants,
    intervals,
    named,
    ranges,
    seconds_of,
)
from harness.probes.prometheus_session import Via, open_session
from harness.prometheus_access import PrometheusAccess
from harness.waiting import retrying

TIMEOUT = 10  # seconds
# Two more tries. A query whose time is pinned gives the same answer then.
ATTEMPTS = 3
NOT_FOUND = 404
UNKNOWN = "unknown version"
STARTED = "max(process_start_time_seconds and on(job, instance) prometheus_build_info)"
IN_TROUBLE = 500

__all__ = [
    "Ambiguous",
    "NoData",
    "NotANumber",
    "Number",
    "Prometheus",
    "PrometheusAway",
    "PrometheusError",
    "PrometheusUnreachable",
    "QueryRefused",
    "Sample",
    "escape",
]


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
            answer = self._get("/-/ready")
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
        """When the server's process started, in Unix seconds by its own clock, or the youngest of those that it asks;
        None when it does not tell."""
        try:
            return parse_kubernetes_time(str(self._status("runtimeinfo").get("startTime")))
        except (QueryRefused, ValueError):
            pass
        try:
            # Thanos and the like keep what Prometheus says of itself.
            return self.number(STARTED).value
        except (QueryRefused, NoData, NotANumber):
            return None

    def describe(self) -> str:
        """Where it is and what it is, for people."""
        return f"Prometheus {self.version()} at {self.place}"

    def scrape_interval(self, namespace: str | None = None) -> float:
        """Seconds between two scrapes, as the server really does it: the longest one among the targets of a namespace;
        without a namespace, or where it has no targets, the server's global one; where that is kept secret, measured.
        """
        targets = self._targets() if namespace else []
        own = [seconds for labels, seconds in targets if labels.get("namespace") == namespace]
        if own:
            return max(own)
        try:
            settings = yaml.safe_load(str(self._status("config").get("yaml", "")))
            return seconds_of(settings["global"]["scrape_interval"])
        except (PrometheusError, LookupError, TypeError, AttributeError, yaml.YAMLError):
            return self._measured_interval()

    def instant(self, query: str, at: float | None = None) -> list[Sample]:
        """The value of every series at an instant, Unix seconds; None means now. A scalar has no labels."""
        pinned: dict[str, Any] = {} if at is None else {"time": at}
        # Thanos would rather answer with a part of the truth; the others do not know the word and pass over it.
        params = {**pinned, "stats": "all", "partial_response": "false"}
        samples: list[Sample] = self._ask(lambda: instants(self._connect.custom_query(query, params=params)), query)
        return samples

    def range(self, query: str, start: float, end: float, step: float) -> list[Sample]:
        """All values of all series from start to end (Unix seconds), a step apart, in the order of time."""
        first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        # The client rounds times to whole seconds; these override them.
        exact = {"start": start, "end": end, "partial_response": "false"}
        samples: list[Sample] = self._ask(
            lambda: ranges(self._connect.custom_query_range(query, first, last, step=f"{step:g}", params=exact)), query
        )
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

    def target_intervals(self) -> dict[tuple[str, str], float]:
        """Seconds between two scrapes of every target, by its job and instance; nothing where the server has none."""
        found = ((labels.get("job", ""), labels.get("instance", ""), seconds) for labels, seconds in self._targets())
        return {(job, instance): seconds for job, instance, seconds in found}

    def _targets(self) -> list[tuple[Mapping[str, str], float]]:
        try:
            found: list[tuple[Mapping[str, str], float]] = self._ask(
                lambda: intervals(self._connect.get_targets(state="active")), "targets"
            )
        except QueryRefused:
            # Those who only store what others scrape have no targets.
            return []
        return found

    def _measured_interval(self) -> float:
        window = 300.0
        return window / max(1.0, self.number(f"max(count_over_time(up[{window:.0f}s]))").value)

    def _status(self, page: str) -> Mapping[str, Any]:
        def get() -> object:
            answer = self._get(f"/api/v1/status/{page}")
            if not answer.ok:
                raise PrometheusApiClientException(f"HTTP Status Code {answer.status_code}")
            return named(answer.json()["data"])

        data: Mapping[str, Any] = self._ask(get, page)
        return data

    def _get(self, path: str) -> requests.Response:
        # Said anew each time: requests would rather believe REQUESTS_CA_BUNDLE than its own session.
        return self._session.get(f"{self.url}{path}", timeout=TIMEOUT, verify=self._session.verify)

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
            if self._status_code >= IN_TROUBLE:
                raise PrometheusAway(f"{self.place} answers {self._status_code}: {said}: {what}") from None
            raise QueryRefused(f"{said}: {what}") from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise PrometheusUnreachable(
                f"{self.place} gave no answer as Prometheus would: {self._said(error)}"
            ) from None

    def _said(self, words: object, most: int = 300) -> str:
        """What a server or a library said, short and without secrets: it may quote the request."""
        text = repr(words) if isinstance(words, LookupError | TypeError | ValueError | AttributeError) else str(words)
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
