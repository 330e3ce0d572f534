"""A client for Alertmanager's HTTP API: which alerts it has received, and which of them are suppressed."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import requests

from harness.common.errors import HarnessError
from harness.prometheus.access import PrometheusAccess
from harness.prometheus.alerts import ReceivedAlert, received_alerts
from harness.prometheus.session import Via, open_session

TIMEOUT = 10  # seconds
_SHOWN = 200


class AlertmanagerError(HarnessError):
    """Alertmanager does not answer, or the response is not Alertmanager's."""


class Alertmanager:
    """An Alertmanager below ``url``, which may contain a path. An instance may be used by one thread only."""

    def __init__(self, url: str, via: Via | None = None) -> None:
        """``via`` replaces direct HTTP connections."""
        self.url = url.rstrip("/")
        self._via = via
        self._session = open_session(PrometheusAccess())
        if via is not None:
            self._session.mount(f"{self.url}/", via)

    def clone(self) -> Alertmanager:
        """Return a client for the same server with separate connections, for another thread."""
        return Alertmanager(self.url, self._via.clone() if self._via else None)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    @property
    def place(self) -> str:
        """The URL without user and password."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def alerts(self) -> list[ReceivedAlert]:
        """Return all alerts that have not ended. Raises AlertmanagerError."""
        try:
            answer = self._session.get(f"{self.url}/api/v2/alerts", timeout=TIMEOUT, verify=self._session.verify)
        except requests.RequestException as error:
            message = PrometheusAccess().cleaned(str(error), self.url)[:_SHOWN]
            # Without the chained traceback, which would show the URL with its password.
            raise AlertmanagerError(f"Alertmanager at {self.place} does not answer: {message}") from None
        if not answer.ok:
            text = answer.text.strip()[:_SHOWN]
            raise AlertmanagerError(f"Alertmanager at {self.place} answers {answer.status_code}: {text}")
        try:
            return received_alerts(answer.json())
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise AlertmanagerError(f"{self.place} did not answer like Alertmanager: {error!r}") from error

    def ready(self) -> str | None:
        """Return None if the server answers, otherwise the reason."""
        try:
            self.alerts()
        except AlertmanagerError as error:
            return str(error)
        return None
