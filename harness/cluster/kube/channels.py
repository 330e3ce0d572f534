"""The WebSocket of a command in a container: numbered channels over one connection, until the server closes it.

The official client is not used: it opens WebSockets without a time-out, so that a server that accepts the connection
and then sends nothing blocks the caller forever, and it decodes each frame separately, which garbles a character split
across two frames. Source of the protocol: ``v4.channel.k8s.io`` in k8s.io/apimachinery, ``remotecommand`` in
k8s.io/client-go.
"""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from collections.abc import Iterable

from websocket import ABNF, WebSocket, WebSocketTimeoutException, create_connection

# Fixed by the protocol; channel 3 carries one Status object at the end of the command.
STDOUT, STDERR, STATUS = 1, 2, 3
PROTOCOL = "v4.channel.k8s.io"


def open_websocket(link: socket.socket, url: str, headers: Iterable[tuple[str, str]], timeout: float) -> WebSocket:
    """Return a websocket for channels of exec or port-forward over ``link``, a connection to the server, including TLS.

    Raises WebSocketException (WebSocketBadStatusException …) and OSError.
    """
    link.settimeout(timeout)
    # Given a socket, the library ignores the proxy variables of the environment.
    return create_connection(
        url,
        header=[f"{name}: {value}" for name, value in headers],
        subprotocols=[PROTOCOL],
        socket=link,
        timeout=timeout,
    )


def read_channels(
    link: socket.socket, url: str, headers: Iterable[tuple[str, str]], timeout: float
) -> dict[int, bytes]:
    """Return all data of each channel, within ``timeout`` seconds in all.

    ``link`` is a connection to the server, including TLS, and is closed at the end.

    Raises WebSocketException (WebSocketTimeoutException, WebSocketBadStatusException …) and OSError.
    """
    deadline = time.monotonic() + timeout
    websocket = open_websocket(link, url, headers, timeout)
    # Adding to bytes would copy a large output for each of its frames.
    channels: dict[int, bytearray] = defaultdict(bytearray)
    try:
        while (left := deadline - time.monotonic()) > 0:
            websocket.settimeout(left)
            opcode, frame = websocket.recv_data_frame(control_frame=True)
            if opcode == ABNF.OPCODE_CLOSE:
                return {number: bytes(data) for number, data in channels.items()}
            if opcode in {ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT} and frame.data:
                channels[frame.data[0]] += frame.data[1:]
    finally:
        # No closing handshake: a frozen server would not answer it, and all data has been read.
        websocket.shutdown()
    raise WebSocketTimeoutException(f"the command has not ended after {timeout:g} s")
