"""A typed adapter for prometheus-api-client: fixed evaluation times, warnings kept, errors for missing values."""

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

from harness.common.clock import Clock, SystemClock, parse_kubernetes_time
from harness.common.waiting import retrying
from harness.prometheus.access import PrometheusAccess
from harness.prometheus.alerts import AlertingRule, alerting_rules
from harness.prometheus.answers import (
    Ambiguous,
    NoData,
    NotANumber,
    Number,
    PrometheusAway,
    PrometheusError,
    PrometheusUnreachable,
    QueryRefused,
    Sample,
    Target,
    escape,
    instants,
    intervals,
    named,
    ranges,
    seconds_of,
    targets,
)
from harness.prometheus.session import Via, open_session

# prometheus-api-client waits without a limit unless it gets one.
TIMEOUT = 10  # seconds
# Requests are repeated twice. With a fixed evaluation time, a query returns the same value again.
ATTEMPTS = 3
NOT_FOUND = 404
UNKNOWN = "unknown version"
# Most processes export process_start_time_seconds; prometheus_build_info selects Prometheus itself.
STARTED = "max(process_start_time_seconds and on(job, instance) prometheus_build_info)"
# Prometheus answers 400 or 422 for a fault of the query, but 503 for one that timed out or was aborted.
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
    """A server with Prometheus' HTTP API below ``url``, which may contain a path.

    Examples are Prometheus, Thanos (``/``), Mimir (``/prometheus``) and VictoriaMetrics (``/select/0/prometheus``).
    Every method raises PrometheusError. An instance may be used by one thread only.
    """

    def __init__(
        self,
        url: str,
        access: PrometheusAccess | None = None,
        *,
        via: Via | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``via`` replaces direct HTTP connections."""
        self.url = url.rstrip("/")
        self._access, self._via = access or PrometheusAccess(), via
        self._clock = clock or SystemClock()
        self._session = open_session(self._access)
        self._session.hooks["response"].append(self._keep)
        # Retries are made in this class, not in the connection pool, so that ``via`` has the same policy.
        self._connect = PrometheusConnect(self.url, retry=Retry(0), session=self._session, timeout=TIMEOUT)
        if via is not None:
            # The longer prefix takes precedence over the adapter that the client has just mounted.
            self._session.mount(f"{self.url}/", via)
        self._answer: dict[str, Any] = {}
        self._status_code = 0

    def clone(self) -> Prometheus:
        """Return a client for the same server with separate connections, for another thread."""
        via = self._via.clone() if self._via else None
        return Prometheus(self.url, self._access, via=via, clock=self._clock)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def ready(self) -> str | None:
        """Return None if the server is ready for queries, otherwise the reason."""
        try:
            answer = self._get("/-/ready")
            if answer.status_code == NOT_FOUND:
                # Servers with a compatible API have other health endpoints; a query shows whether they are ready.
                self.instant("vector(1)")
                return None
        except requests.RequestException as error:
            return f"{self.place} does not answer: {self._message(error)}"
        except PrometheusError as error:
            return f"{self.place} is not ready: {error}"
        message = self._message(answer.text.strip(), 200)
        return None if answer.ok else f"{self.place} is not ready: {answer.status_code} {message}"

    @property
    def place(self) -> str:
        """The URL without user and password."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def version(self) -> str:
        """Return the server's version, such as ``3.13.0``."""
        try:
            return str(self._status("buildinfo").get("version") or UNKNOWN)
        except QueryRefused:
            return UNKNOWN

    def started(self) -> float | None:
        """Return when the server's process started, in Unix seconds by its own clock; None if it does not report it.

        For a server that only queries others, return the latest start of those.
        """
        try:
            return parse_kubernetes_time(str(self._status("runtimeinfo").get("startTime")))
        except (QueryRefused, ValueError):
            pass
        try:
            # Thanos and similar servers have no such endpoint, but store the metrics of Prometheus itself.
            return self.number(STARTED).value
        except (QueryRefused, NoData, NotANumber):
            return None

    def describe(self) -> str:
        """Return the server's version and URL for messages."""
        return f"Prometheus {self.version()} at {self.place}"

    def scrape_interval(self, namespace: str | None = None) -> float:
        """Return the scrape interval in seconds: the longest among the targets of a namespace.

        Without a namespace or without targets in it, return the server's global interval. If the server does not
        publish its configuration, measure the interval.
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
        """Return the value of every series at ``at`` in Unix seconds; None means now. A scalar has no labels."""
        pinned: dict[str, Any] = {} if at is None else {"time": at}
        # Thanos returns partial results by default. Other servers ignore the parameter.
        params = {**pinned, "stats": "all", "partial_response": "false"}
        samples: list[Sample] = self._ask(lambda: instants(self._connect.custom_query(query, params=params)), query)
        return samples

    def range(self, query: str, start: float, end: float, step: float) -> list[Sample]:
        """Return all values of all series from start to end in Unix seconds, every ``step`` seconds, sorted by time."""
        first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        # The client rounds times to whole seconds; these parameters override them.
        exact = {"start": start, "end": end, "partial_response": "false"}
        samples: list[Sample] = self._ask(
            lambda: ranges(self._connect.custom_query_range(query, first, last, step=f"{step:g}", params=exact)), query
        )
        return sorted(samples, key=lambda sample: sample.at)

    def number(self, query: str, at: float | None = None) -> Number:
        """Return the single finite value of a query. Raises NoData, NotANumber or Ambiguous if there is none."""
        samples = self.instant(query, at)
        if not samples:
            raise NoData(f"no series found: {query}")
        if len(samples) > 1:
            first = dict(samples[0].labels)
            raise Ambiguous(f"found {len(samples)} series, expected one; the first is {first}: {query}")
        if not math.isfinite(samples[0].value):
            raise NotANumber(f"{samples[0].value}: {query}")
        stats = (self._answer.get("data") or {}).get("stats") or {}
        read = (stats.get("samples") or {}).get("totalQueryableSamples")
        return Number(samples[0].value, read, self.warnings(), self._texts("infos"))

    def warnings(self) -> tuple[str, ...]:
        """Return the server's warnings about its last answer: a store did not answer, buckets do not match."""
        partial = ("the server reports a partial result",) if self._answer.get("isPartial") is True else ()
        return partial + self._texts("warnings")

    def _texts(self, kind: str) -> tuple[str, ...]:
        return tuple(self._message(str(text)) for text in self._answer.get(kind) or ())

    def target_intervals(self) -> dict[tuple[str, str], float]:
        """Return the scrape interval in seconds of every target, by job and instance; empty without targets."""
        found = ((labels.get("job", ""), labels.get("instance", ""), seconds) for labels, seconds in self._targets())
        return {(job, instance): seconds for job, instance, seconds in found}

    def targets(self) -> list[Target]:
        """Return every target that the server scrapes. Raises QueryRefused if the server does not scrape by design."""
        found: list[Target] = self._ask(lambda: targets(self._connect.get_targets(state="active")), "targets")
        return found

    def _targets(self) -> list[tuple[Mapping[str, str], float]]:
        try:
            found: list[tuple[Mapping[str, str], float]] = self._ask(
                lambda: intervals(self._connect.get_targets(state="active")), "targets"
            )
        except QueryRefused:
            # Servers that only store data have no targets.
            return []
        return found

    def _measured_interval(self) -> float:
        window = 300.0
        # A server with compatible API may not publish its configuration; the number of samples of `up` shows the
        # interval.
        return window / max(1.0, self.number(f"max(count_over_time(up[{window:.0f}s]))").value)

    def alerting_rules(self) -> list[AlertingRule]:
        """Return all alerting rules with their alerts. Raises QueryRefused if the server evaluates no rules."""
        found: list[AlertingRule] = self._ask(lambda: alerting_rules(self._data("rules?type=alert")), "rules")
        return found

    def alertmanagers(self) -> list[str]:
        """Return the URLs of the Alertmanagers that it sends alerts to."""
        found: list[str] = self._ask(
            lambda: [str(each["url"]) for each in self._data("alertmanagers")["activeAlertmanagers"]], "alertmanagers"
        )
        return found

    def _status(self, page: str) -> Mapping[str, Any]:
        data: Mapping[str, Any] = self._ask(lambda: self._data(f"status/{page}"), page)
        return data

    def _data(self, page: str) -> Mapping[str, Any]:
        answer = self._get(f"/api/v1/{page}")
        if not answer.ok:
            raise PrometheusApiClientException(f"HTTP Status Code {answer.status_code}")
        return named(answer.json()["data"])

    def _get(self, path: str) -> requests.Response:
        # ``verify`` is passed explicitly, since requests prefers REQUESTS_CA_BUNDLE over the session's own setting.
        return self._session.get(f"{self.url}{path}", timeout=TIMEOUT, verify=self._session.verify)

    def _ask(self, call: Callable[[], Any], what: str) -> Any:  # noqa: ANN401 - JSON, checked by the callers
        return retrying(self._clock, ATTEMPTS)(self._ask_once, call, what)

    def _ask_once(self, call: Callable[[], Any], what: str) -> Any:  # noqa: ANN401
        self._answer, self._status_code = {}, 0
        try:
            return call()
        # `from None`, since a chained traceback would print the original text with the secrets that `_message` removes.
        except requests.ConnectionError as error:
            raise PrometheusAway(f"{self.place} does not answer: {self._message(error)}") from None
        except requests.RequestException as error:
            raise PrometheusUnreachable(f"{self.place} does not answer: {self._message(error)}") from None
        except PrometheusApiClientException as error:
            message = self._message(self._answer.get("error") or error)
            if self._status_code >= IN_TROUBLE:
                raise PrometheusAway(f"{self.place} answers {self._status_code}: {message}: {what}") from None
            raise QueryRefused(f"{message}: {what}") from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise PrometheusUnreachable(
                f"{self.place} did not answer like Prometheus: {self._message(error)}"
            ) from None

    def _message(self, error: object, most: int = 300) -> str:
        """Return an error text of at most ``most`` characters without secrets, since it may quote the request."""
        text = repr(error) if isinstance(error, LookupError | TypeError | ValueError | AttributeError) else str(error)
        return self._access.cleaned(text, self.url)[:most]

    def _keep(self, response: requests.Response, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - the hook's form
        # The client returns only the result, so warnings, statistics and error messages are kept from the response.
        self._status_code = response.status_code
        try:
            answer = response.json()
        except requests.JSONDecodeError:
            return
        self._answer = answer if isinstance(answer, dict) else {}
