"""Sends one message over a WebSocket and waits for an answer."""

from __future__ import annotations

from typing import Annotated, Any
from weakref import WeakKeyDictionary

from pydantic import Field, PrivateAttr

from harness.traffic.load.behaviour import Behaviour, Client

Path = Annotated[str, Field(pattern=r"^/[!-~]*$")]


class WebSocket(Behaviour):
    """``path``; ``send``: a text message; ``expect``: a text that the answer must contain (default: any message).

    With ``connection: new`` each arrival has its own handshake. With ``kept`` the latency is that of the messages,
    once the connections are open. A handshake that is refused has the status as its outcome.
    """

    path: Path = "/"
    send: str = "ping"
    expect: str = ""
    # The WebSocket of each open connection.
    _open: WeakKeyDictionary[Any, Any] = PrivateAttr(default_factory=WeakKeyDictionary)

    def arrive(self, client: Client, number: int) -> None:  # noqa: ARG002  every arrival is the same
        import websocket  # noqa: PLC0415 - the load process has patched the sockets before

        with client.measure("WS", f"WS {self.path}"), client.connection() as connection:
            try:
                talking = self._open.get(connection)
                if talking is None:
                    talking = self._open[connection] = self._handshake(client, connection)
                talking.send(self.send)
                answer = talking.recv()
            except websocket.WebSocketBadStatusException as error:
                raise ConnectionAbortedError(str(error.status_code)) from error
            except websocket.WebSocketTimeoutException as error:
                raise TimeoutError("no answer in time") from error
            except websocket.WebSocketConnectionClosedException as error:
                raise ConnectionAbortedError("closed without an answer") from error
            except websocket.WebSocketException as error:
                raise ConnectionAbortedError("broken answer") from error
            text = answer if isinstance(answer, str) else bytes(answer).decode(errors="replace")
            if not text:
                # The library returns an empty message for a close frame.
                raise ConnectionAbortedError("closed without an answer")
            if self.expect not in text:
                raise ConnectionAbortedError("unexpected answer")

    def _handshake(self, client: Client, connection: Any) -> Any:  # noqa: ANN401 - types of the library
        import websocket  # noqa: PLC0415

        headers = client.http_headers()
        host = headers.pop("Host")
        talking = websocket.WebSocket()
        # The scheme only matters for a socket that the library opens itself.
        talking.connect(
            f"ws://{host}{client.http_path(self.path)}",
            socket=connection,
            host=host,
            header=headers,
            suppress_origin=True,
        )
        return talking
