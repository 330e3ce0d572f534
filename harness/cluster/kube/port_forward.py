"""A TCP connection to a port of a pod, through the API server and the kubelet, as ``kubectl port-forward`` makes it.

One WebSocket carries one connection: channel 0 has the data, channel 1 an error of the kubelet; the first message of
each is the port's number. Source of the protocol: ``portforward`` in k8s.io/kubelet/pkg/cri/streaming. It dials
localhost in the pod's network, so the port need not be open to other pods.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Protocol

from websocket import ABNF, WebSocket, WebSocketException

from harness.cluster.kube.channels import open_websocket

DATA, ERROR = 0, 1
# The port's number as two bytes, sent by the kubelet as the first message of each channel.
_PORT_MESSAGE = 2


class PodStream(Protocol):
    """A connection to a port of a pod. Every method raises OSError if the connection is lost."""

    def send(self, data: bytes) -> None:
        """Send data to the pod."""

    def receive(self, timeout: float) -> bytes:
        """Return the next data from the pod, within ``timeout`` seconds; empty at the end of the connection."""

    def close(self) -> None:
        """Close the connection at once."""


class PodConnection:
    """A ``PodStream`` over a WebSocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._opened: set[int] = set()

    def send(self, data: bytes) -> None:
        """Send data to the pod."""
        try:
            self._websocket.send_binary(bytes([DATA]) + data)
        except WebSocketException as error:
            raise ConnectionError(f"the connection to the pod was lost: {error}") from error

    def receive(self, timeout: float) -> bytes:
        """Return the next data from the pod, within ``timeout`` seconds; empty at the end of the connection."""
        self._websocket.settimeout(timeout)
        while True:
            try:
                opcode, frame = self._websocket.recv_data_frame(control_frame=True)
            except WebSocketException as error:
                raise ConnectionError(f"the connection to the pod was lost: {error}") from error
            if opcode == ABNF.OPCODE_CLOSE:
                return b""
            if opcode not in {ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT} or not frame.data:
                continue
            channel, data = frame.data[0], bytes(frame.data[1:])
            if channel not in self._opened:
                self._opened.add(channel)
                data = data[_PORT_MESSAGE:]
            if channel == ERROR and data:
                raise ConnectionError(f"the kubelet cannot forward to the pod: {data.decode(errors='replace')}")
            if channel == DATA and data:
                return data

    def close(self) -> None:
        """Close the connection at once."""
        # No closing handshake: a frozen server would not answer it.
        self._websocket.shutdown()


def open_port(link: socket.socket, url: str, headers: Iterable[tuple[str, str]], timeout: float) -> PodConnection:
    """Return a connection over ``link``, a connection to the server, including TLS.

    Raises WebSocketException (WebSocketBadStatusException …) and OSError.
    """
    return PodConnection(open_websocket(link, url, headers, timeout))
