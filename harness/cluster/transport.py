"""All traffic to an API server goes through a Transport, so that a fake one can stand in for a cluster.

``HttpTransport`` lets the official client do what it is good at (kubeconfig, certificates, tokens, exec plug-ins, TLS)
and skips its models: decoding into them costs more CPU than a watched cluster has to spare. Responses stay JSON.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client import rest
from kubernetes.config import ConfigException
from websocket import WebSocketBadStatusException, WebSocketException, WebSocketTimeoutException

from harness.cluster import channels
from harness.errors import ApiError, ClusterUnreachable

Query = Mapping[str, str]
# What stands before the slash is also how the API server names us as the manager of the fields that we change.
USER_AGENT = "resilience-harness/1"


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command in a container printed, and how it ended."""

    stdout: str
    stderr: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Request:
    """One API request. ``body`` is what will be sent as JSON; ``accept`` the kinds of answer that will do."""

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
        """The body of the answer."""

    def stream(self, request: Request) -> Iterator[bytes]:
        """The lines of a watch as they arrive; ends when the server ends it."""

    def exec(self, namespace: str, pod: str, container: str | None, command: list[str], timeout: float) -> ExecResult:
        """Run a command in a container."""

    def impersonate(self, user: str) -> None:
        """From now on act as this user: a ServiceAccount is ``system:serviceaccount:NAMESPACE:NAME``."""

    def clone(self) -> Transport:
        """Another one with connections of its own, for another thread."""

    def interrupt(self) -> None:
        """End every ``stream`` of this transport at once and for good, from any thread: none waits ever again."""

    def close(self) -> None:
        """Close all connections."""


class HttpTransport:
    """A Transport over the official client's configuration, authentication and TLS settings."""

    def __init__(self, configuration: client.Configuration) -> None:
        self._configuration = configuration
        self._pool: urllib3.PoolManager = rest.RESTClientObject(configuration).pool_manager
        self._lock = threading.Lock()
        self._streams: set[urllib3.BaseHTTPResponse] = set()
        self._interrupted = False
        self._user = ""

    @classmethod
    def from_kubeconfig(cls, kubeconfig: Path | None, context: str | None) -> HttpTransport:
        """Raises ClusterUnreachable when the kubeconfig or the context cannot be read."""
        configuration = client.Configuration()
        try:
            config.load_kube_config(
                config_file=str(kubeconfig) if kubeconfig else None,
                context=context,
                client_configuration=configuration,
            )
        except (ConfigException, OSError, yaml.YAMLError, TypeError, AttributeError, LookupError, ValueError) as error:
            # The client checks no shapes: a file that is no kubeconfig fails wherever it is first looked into.
            raise ClusterUnreachable(f"kubeconfig {kubeconfig or '(default)'}, context {context}: {error}") from error
        return cls(configuration)

    @classmethod
    def in_cluster(cls) -> HttpTransport:
        """As the ServiceAccount of the pod that this runs in. Raises ClusterUnreachable outside of a pod."""
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
        except ConfigException as error:
            raise ClusterUnreachable(f"this is no pod of a cluster: {error}") from error
        return cls(configuration)

    @property
    def server(self) -> str:
        return str(self._configuration.host)

    def send(self, request: Request) -> bytes:
        response = self._call(request, preload=True)
        return bytes(response.data)

    def stream(self, request: Request) -> Iterator[bytes]:
        response = self._call(request, preload=False)
        with self._lock:
            self._streams.add(response)
        pending = b""
        try:
            while not self._interrupted and (chunk := response.read1(65536)):
                pending += chunk
                *lines, pending = pending.split(b"\n")
                yield from (line for line in lines if line)
        except urllib3.exceptions.HTTPError as error:
            if not self._interrupted:
                raise ApiError(0, "ConnectionLost", f"watch {request.path}: {error}") from error
        finally:
            with self._lock:
                self._streams.discard(response)
            # A watch that is left early still has data under way: its connection cannot be used again.
            response.close()

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            for response in self._streams:
                # Closing would wait for the lock that the blocked reader holds; shutting the socket down wakes it up.
                # A stream that is just ending by itself has no connection left to shut down.
                with suppress(RuntimeError, ValueError, OSError):
                    response.shutdown()

    def _call(self, request: Request, preload: bool) -> urllib3.BaseHTTPResponse:
        url = self.server + request.path
        headers = {"Accept": request.accept, **self._authorization()}
        body = None
        if request.body is not None:
            headers["Content-Type"] = request.content_type
            body = json.dumps(request.body).encode()
        try:
            response = self._pool.request(
                request.method,
                f"{url}?{urlencode(request.query)}" if request.query else url,
                headers=headers,
                body=body,
                timeout=urllib3.Timeout(connect=min(5.0, request.timeout), read=request.timeout),
                # Retries belong to waiting.retrying: urllib3's own would repeat a request behind our back.
                retries=False,
                preload_content=preload,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, "ConnectionFailed", f"{request.method} {request.path}: {error}") from error
        if response.status >= 300:
            raise _api_error(response.status, response.data, request)
        return response

    def _authorization(self) -> dict[str, str]:
        # Asked anew for every request: the client refreshes expiring tokens of exec plug-ins in here.
        setting = self._configuration.auth_settings().get("BearerToken")
        token = {"authorization": str(setting["value"])} if setting else {}
        return token | ({"Impersonate-User": self._user} if self._user else {})

    def exec(self, namespace: str, pod: str, container: str | None, command: list[str], timeout: float) -> ExecResult:
        query = [("command", part) for part in command] + [("stdout", "true"), ("stderr", "true")]
        if container:
            query.append(("container", container))
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec"
        url = f"ws{self.server.removeprefix('http')}{path}?{urlencode(query)}"
        what = f"exec of {command[0]} in {namespace}/{pod}"
        try:
            found = channels.read_channels(self._configuration, url, self._authorization(), timeout)
        except WebSocketTimeoutException as error:
            raise ApiError(0, "ExecTimedOut", f"{what} ran over {timeout:g} s") from error
        except WebSocketBadStatusException as error:
            raise _api_error(error.status_code, error.resp_body, Request("POST", path)) from error
        except (WebSocketException, OSError) as error:
            raise ApiError(0, "ConnectionFailed", f"{what}: {error}") from error
        return _exec_result(found, what)

    def impersonate(self, user: str) -> None:
        self._user = user

    def clone(self) -> HttpTransport:
        clone = HttpTransport(self._configuration)
        clone.impersonate(self._user)
        return clone

    def close(self) -> None:
        self._pool.clear()


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
        # The command never ran: no such file in the image, no such container, a runtime that refused.
        raise ApiError(int(status.get("code") or 500), "ExecFailed", f"{what}: {status.get('message')}")
    return ExecResult(stdout, stderr, int(codes[0]))


def _api_error(status: int, body: bytes | str | None, request: Request) -> ApiError:
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    try:
        answer = json.loads(text)
        reason, message = str(answer.get("reason") or "Error"), str(answer.get("message") or text)
        # Which budget forbids an eviction is told by the causes alone.
        causes = [str(cause.get("message")) for cause in (answer.get("details") or {}).get("causes") or []]
        message = " ".join([message, *(cause for cause in causes if cause not in message)])
    except (ValueError, AttributeError):
        reason, message = "Error", text[:500]
    return ApiError(status, reason, f"{request.method} {request.path}: {message}")
