"""The HTTP session of a Prometheus: who asks, whose certificates are believed, and what takes the place of HTTP."""

from __future__ import annotations

from abc import abstractmethod

import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from harness.errors import HarnessError
from harness.prometheus_access import PrometheusAccess


class Via(BaseAdapter):
    """What takes the place of HTTP, and can be had once more for another thread."""

    @abstractmethod
    def clone(self) -> Via:
        """The same way over connections of its own."""


class _Bearer(AuthBase):
    """Puts the token into every request, as it is then."""

    def __init__(self, access: PrometheusAccess) -> None:
        self._access = access

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        try:
            request.headers["Authorization"] = f"Bearer {self._access.bearer()}"
        except HarnessError as error:
            raise requests.RequestException(str(error)) from error
        return request


def open_session(access: PrometheusAccess, *, trust_env: bool) -> requests.Session:
    """A session that carries these credentials; without ``trust_env`` it knows nothing of the environment's proxies."""
    session = requests.Session()
    session.trust_env = trust_env
    session.headers.update(access.headers)
    if access.token or access.token_file:
        session.auth = _Bearer(access)
    elif access.user:
        session.auth = HTTPBasicAuth(access.user.encode(), access.password.encode())
    if access.ca:
        session.verify = str(access.ca)
    return session
