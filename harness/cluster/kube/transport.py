"""All traffic to an API server goes through a Transport, so that tests can replace it by a fake one.

``HttpTransport`` sends requests over the links of ``harness/cluster/connection``. Responses stay JSON: decoding into
the models of the official client needs too much CPU time, which may be taken from the cluster under test.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import urllib3
from websocket import WebSocketBadStatusException, WebSocketException, WebSocketTimeoutException

from harness.cluster.connection.connection import Connection, in_cluster_connection, kubeconfig_connection
from harness.cluster.connection.credentials import Credential, Impersonation, fits_header
from harness.cluster.connection.links import Links, header_dict
from harness.cluster.kube import channels
from harness.cluster.kube.port_forward import PodStream, open_port
from harness.common.errors import ApiError, InputError, Problem

Query = Mapping[str, str]
Opened = TypeVar("Opened")
# The API server also uses the part before the slash as the field manager of fields that the harness changes.
USER_AGENT = "resilience-harness/1"


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The output of a command in a container, and its exit code."""

    stdout: str
    stderr: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Request:
    """One API request. ``body`` is sent as JSON, ``accept`` is the Accept header, ``timeout`` is in seconds."""

    method: str
    path: str
    query: Query = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    timeout: float = 10.0
    accept: str = "application/json"


class Transport(Protocol):
    """Sends requests. Every method raises ApiError; status 0 means that the connection failed."""

    @property
    def server(self) -> str:
        """The API server's URL."""

    def send(self, request: Request) -> bytes:
        """Send a request and return the body of the response."""

    def stream(self, request: Request) -> Iterator[bytes]:
        """Yield the lines of a watch as they arrive, until the server ends it."""

    def exec(self, namespace: str, pod: str, container: str | None, command: list[str], timeout: float) -> ExecResult:
        """Run a command in a container."""

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> PodStream:
        """Connect to a port of a pod, within ``timeout`` seconds."""

    def impersonate(self, user: str) -> None:
        """Act as this user from now on, with no other groups; an empty text restores the kubeconfig's user.

        A ServiceAccount is ``system:serviceaccount:NAMESPACE:NAME``. Raises InputError if a header cannot hold it.
        """

    def clone(self) -> Transport:
        """Return a transport with separate connections, for another thread."""

    def interrupt(self) -> None:
        """End every ``stream`` of this transport at once, from any thread; later ones end at once too."""

    def close(self) -> None:
        """Close all connections."""


class HttpTransport:
    """A Transport over HTTP. Clones have separate connections and share the credentials."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._links = Links(connection)
        self._lock = threading.Lock()
        self._streams: set[urllib3.BaseHTTPResponse] = set()
        self._interrupted = False
        self._impersonation = connection.impersonation

    @classmethod
    def from_kubeconfig(cls, kubeconfig: Path | None, context: str | None) -> HttpTransport:
        """Return the transport for a context, or for the current one.

        Raises ClusterUnreachable, or KubeconfigInvalid with all problems of the kubeconfig at once.
        """
        return cls(kubeconfig_connection(kubeconfig, context))

    @classmethod
    def in_cluster(cls) -> HttpTransport:
        """Return the transport for the ServiceAccount of this pod. Raises ClusterUnreachable outside a pod."""
        return cls(in_cluster_connection())

    @property
    def server(self) -> str:
        return self._connection.server

    def send(self, request: Request) -> bytes:
        response = self._call(request, preload=True)
        return bytes(response.data)

    def stream(self, request: Request) -> Iterator[bytes]:
        response = self._call(request, preload=False)
        with self._lock:
            self._streams.add(response)
        pending = b""
        try:
            # read() would wait until the buffer is full, and so delay events; read1() returns what has arrived.
            while not self._interrupted and (chunk := response.read1(65536)):
                pending += chunk
                # A partial line at the end of the stream is dropped; the next watch sends its event again.
                *lines, pending = pending.split(b"\n")
                yield from (line for line in lines if line)
        except urllib3.exceptions.HTTPError as error:
            if not self._interrupted:
                raise ApiError(0, "ConnectionLost", f"watch {request.path}: {error}") from error
        finally:
            with self._lock:
                self._streams.discard(response)
            # If the watch is left early, data may still arrive on its connection, so it cannot be reused.
            response.close()

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            for response in self._streams:
                # close() would wait for a lock held by the blocked reader; shutdown() wakes the reader up.
                # It fails for a stream that is just ending, whose connection is closed already.
                with suppress(RuntimeError, ValueError, OSError):
                    response.shutdown()

    def _call(self, request: Request, preload: bool) -> urllib3.BaseHTTPResponse:
        credential = self._connection.credentials.current()
        response = self._request(request, credential, preload)
        if response.status == 401 and self._connection.credentials.renew(credential):
            # A 401 means that the server has not executed the request, so even a creation may be sent again.
            response.close()
            response = self._request(request, self._connection.credentials.current(), preload)
        if response.status >= 300:
            raise _api_error(response.status, response.data, request)
        return response

    def _request(self, request: Request, credential: Credential, preload: bool) -> urllib3.BaseHTTPResponse:
        url = self.server + request.path
        headers = header_dict([("Accept", request.accept), *self._headers(credential)])
        body = None
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            body = json.dumps(request.body).encode()
        try:
            return self._links.manager(credential.identity).request(
                request.method,
                f"{url}?{urlencode(request.query)}" if request.query else url,
                headers=headers,
                body=body,
                timeout=urllib3.Timeout(connect=min(5.0, request.timeout), read=request.timeout),
                # No retries by urllib3: waiting.retrying decides which requests may be retried.
                # This also keeps urllib3 from following redirects.
                retries=False,
                preload_content=preload,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, "ConnectionFailed", f"{request.method} {request.path}: {error}") from error

    def _headers(self, credential: Credential) -> list[tuple[str, str]]:
        authorization = [("Authorization", credential.authorization)] if credential.authorization else []
        return [("User-Agent", USER_AGENT), *authorization, *self._impersonation.headers()]

    def exec(self, namespace: str, pod: str, container: str | None, command: list[str], timeout: float) -> ExecResult:
        query = [("command", part) for part in command] + [("stdout", "true"), ("stderr", "true")]
        if container:
            query.append(("container", container))
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec"
        url = f"ws{self.server.removeprefix('http')}{path}?{urlencode(query)}"
        what = f"exec of {command[0]} in {namespace}/{pod}"
        try:
            found = self._read_channels(url, timeout)
        except WebSocketTimeoutException as error:
            raise ApiError(0, "ExecTimedOut", f"{what} ran over {timeout:g} s") from error
        except WebSocketBadStatusException as error:
            raise _api_error(error.status_code, error.resp_body, Request("POST", path)) from error
        except (WebSocketException, urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, "ConnectionFailed", f"{what}: {error}") from error
        return _exec_result(found, what)

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> PodStream:
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        url = f"ws{self.server.removeprefix('http')}{path}?{urlencode({'ports': port})}"

        def connect(credential: Credential) -> PodStream:
            link = self._links.dial(credential.identity, timeout)
            try:
                return open_port(link, url, self._headers(credential), timeout)
            except BaseException:
                link.close()
                raise

        try:
            return self._renewing(connect)
        except WebSocketBadStatusException as error:
            raise _api_error(error.status_code, error.resp_body, Request("POST", path)) from error
        except (WebSocketException, urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, "ConnectionFailed", f"port {port} of {namespace}/{pod}: {error}") from error

    def _read_channels(self, url: str, timeout: float) -> dict[int, bytes]:
        def read(credential: Credential) -> dict[int, bytes]:
            with self._links.dial(credential.identity, timeout) as link:
                return channels.read_channels(link, url, self._headers(credential), timeout)

        return self._renewing(read)

    def _renewing(self, call: Callable[[Credential], Opened]) -> Opened:
        """Open a WebSocket; once more with new credentials if the server rejects the current ones."""
        credential = self._connection.credentials.current()
        try:
            return call(credential)
        except WebSocketBadStatusException as error:
            if error.status_code != 401 or not self._connection.credentials.renew(credential):
                raise
        return call(self._connection.credentials.current())

    def impersonate(self, user: str) -> None:
        if not fits_header(user):
            raise InputError([Problem("found a user with a control character, expected plain text")])
        # Replaces the kubeconfig's impersonation completely: its groups would add permissions that the user lacks.
        self._impersonation = Impersonation(user) if user else self._connection.impersonation

    def clone(self) -> HttpTransport:
        return HttpTransport(replace(self._connection, impersonation=self._impersonation))

    def close(self) -> None:
        self._links.close()


def _exec_result(found: Mapping[int, bytes], what: str) -> ExecResult:
    stdout, stderr = (
        found.get(channel, b"").decode(errors="replace") for channel in (channels.STDOUT, channels.STDERR)
    )
    try:
        status = json.loads(found.get(channels.STATUS, b"null"))
    except ValueError as error:
        raise ApiError(0, "BadAnswer", f"{what}: {error}") from error
    if not isinstance(status, dict):
        raise ApiError(0, "ConnectionLost", f"{what}: the connection ended before the command did")
    if status.get("status") == "Success":
        return ExecResult(stdout, stderr, 0)
    causes = (status.get("details") or {}).get("causes") or []
    codes = [cause["message"] for cause in causes if cause.get("reason") == "ExitCode"]
    if not codes:
        # The command was not run: no such file in the image, no such container, or an error of the container runtime.
        raise ApiError(int(status.get("code") or 500), "ExecFailed", f"{what}: {status.get('message')}")
    return ExecResult(stdout, stderr, int(codes[0]))


def _api_error(status: int, body: bytes | str | None, request: Request) -> ApiError:
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    try:
        answer = json.loads(text)
        reason, message = str(answer.get("reason") or "Error"), str(answer.get("message") or text)
        # For a refused eviction, only the causes name the disruption budget.
        causes = [str(cause.get("message")) for cause in (answer.get("details") or {}).get("causes") or []]
        message = " ".join([message, *(cause for cause in causes if cause not in message)])
    except (ValueError, AttributeError):
        reason, message = "Error", text[:500]
    return ApiError(status, reason, f"{request.method} {request.path}: {message}")
