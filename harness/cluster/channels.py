"""The WebSocket of a command in a container: numbered channels over one connection, until the server closes it.

The official client opens its WebSockets without any time-out, so that an API server that accepts and then says nothing
holds its caller for ever; and it decodes frame by frame, which garbles a character that two frames share. Source of the
protocol: ``v4.channel.k8s.io`` in k8s.io/apimachinery, ``remotecommand`` in k8s.io/client-go.
"""

from __future__ import annotations

import ssl
import time
from collections import defaultdict
from typing import Any

from kubernetes import client
from kubernetes.stream.ws_client import websocket_proxycare
from websocket import ABNF, WebSocketTimeoutException, create_connection

STDOUT, STDERR, STATUS = 1, 2, 3
_PROTOCOL = "v4.channel.k8s.io"


def read_channels(
    configuration: client.Configuration, url: str, authorization: dict[str, str], timeout: float
) -> dict[int, bytes]:
    """All that each channel carried. ``timeout`` is seconds for everything together.

    Raises WebSocketException (WebSocketTimeoutException, WebSocketBadStatusException …) and OSError.
    """
    deadline = time.monotonic() + timeout
    options: dict[str, Any] = {
        "header": [f"{name}: {value}" for name, value in authorization.items()],
        "subprotocols": [_PROTOCOL],
        "sslopt": _tls(configuration),
        "timeout": timeout,
    }
    if configuration.proxy or configuration.proxy_headers:
        options = websocket_proxycare(options, configuration, url, authorization)
    socket = create_connection(url, **options)
    channels: dict[int, bytes] = defaultdict(bytes)
    try:
        while (left := deadline - time.monotonic()) > 0:
            socket.settimeout(left)
            opcode, frame = socket.recv_data_frame(control_frame=True)
            if opcode == ABNF.OPCODE_CLOSE:
                return channels
            if opcode in {ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT} and frame.data:
                channels[frame.data[0]] += frame.data[1:]
    finally:
        # Nobody answers our closing frame when the server has frozen, and nothing is lost by not waiting for it.
        socket.shutdown()
    raise WebSocketTimeoutException(f"not ended after {timeout:g} s")


def _tls(configuration: client.Configuration) -> dict[str, Any]:
    options = {
        "cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE,
        "check_hostname": bool(configuration.verify_ssl) and configuration.assert_hostname is not False,
        "ca_certs": configuration.ssl_ca_cert,
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    return {name: value for name, value in options.items() if value is not None}
