"""The HTTP session for a Prometheus: credentials, trusted certificates, proxies, and an alternative transport."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from harness.cluster.connection.proxies import proxy_from_environment
from harness.common.errors import HarnessError
from harness.prometheus.access import PrometheusAccess


class Via(BaseAdapter):
    """A transport adapter that replaces direct HTTP connections."""

    @abstractmethod
    def clone(self) -> Via:
        """Return the same transport with separate connections, for another thread."""


class _Bearer(AuthBase):
    """Adds the current token to every request."""

    def __init__(self, access: PrometheusAccess) -> None:
        self._access = access

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        try:
            request.headers["Authorization"] = f"Bearer {self._access.bearer()}"
        except HarnessError as error:
            raise requests.RequestException(str(error)) from error
        return request


class _Session(requests.Session):
    """Takes proxies from the environment by the same rules as the connection to the API server.

    ``requests`` has different rules, and lets the environment override a session's own proxies.
    """

    def merge_environment_settings(self, url: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the base's form
        return {**super().merge_environment_settings(url, *args, **kwargs), "proxies": self._proxies_for(str(url))}

    # requests calls this after a redirect, with the proxies of the environment.
    def rebuild_proxies(self, prepared_request: requests.PreparedRequest, proxies: Any) -> Any:  # noqa: ANN401
        del proxies
        return self._proxies_for(str(prepared_request.url))

    def _proxies_for(self, url: str) -> dict[str, str]:
        proxy = proxy_from_environment(url)
        return {urlsplit(url).scheme: proxy.url_with_password} if proxy else {}


def open_session(access: PrometheusAccess) -> requests.Session:
    """Return a session with these credentials. Loopback addresses are never proxied."""
    session = _Session()
    session.headers.update(access.headers)
    if access.token or access.token_file:
        session.auth = _Bearer(access)
    elif access.user:
        # As bytes, since requests would encode text as Latin-1.
        session.auth = HTTPBasicAuth(access.user.encode(), access.password.encode())
    if access.ca:
        session.verify = str(access.ca)
    return session
