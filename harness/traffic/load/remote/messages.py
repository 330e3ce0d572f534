"""The messages between the harness and an agent: a request, then its answer, over any byte stream.

A message is a JSON object on one line; with a ``size`` it is followed by so many bytes of data. The requests::

    {"do": "clock"}                                     → monotonic, boot, time_namespace
    {"do": "start", "settings": …, "files": …, "environ": …}
    {"do": "command", "number": 3, "line": "…"}         a line of harness.traffic.load.wire
    {"do": "read", "from": 4096}                        → the data of the record file from there, exit (code or null)
    {"do": "check"}                                     → total, sha256 of the record file
    {"do": "output"}                                    → the last part of the process's output
    {"do": "leave"}                                     the agent stops the process and exits

Every request may be repeated after a lost connection: its effect is the same.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

Header = dict[str, Any]
# The port of the agent, which listens on the loopback address of its pod only, and that of the metrics.
AGENT_PORT = 9645
METRICS_PORT = 9646
MAX_HEADER = 16 * 1024 * 1024


class Stream(Protocol):
    """A byte stream, such as a TCP connection. Methods raise OSError if it is lost."""

    def send(self, data: bytes) -> None:
        """Send data."""

    def receive(self, timeout: float) -> bytes:
        """Return the next data, within ``timeout`` seconds; empty at the end of the stream."""

    def close(self) -> None:
        """Close the stream at once."""


class AgentFailed(Exception):
    """The agent could not do what was requested."""


def encode(header: Header, data: bytes = b"") -> bytes:
    """Return a message."""
    sized = {**header, "size": len(data)} if data else header
    return json.dumps(sized, separators=(",", ":")).encode() + b"\n" + data


class Exchange:
    """Requests and answers over one stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = b""

    def call(self, request: Header, timeout: float) -> tuple[Header, bytes]:
        """Send a request and return the answer with its data; each wait for data takes at most ``timeout`` seconds.

        Raises OSError if the stream is lost, AgentFailed with the agent's reason if it refuses.
        """
        self._stream.send(encode(request))
        while b"\n" not in self._rest:
            self._receive(timeout)
            if len(self._rest) > MAX_HEADER:
                raise ConnectionError("the answer is not one of an agent")
        line, self._rest = self._rest.split(b"\n", 1)
        try:
            header = json.loads(line)
            size = int(header.get("size", 0))
        except (ValueError, AttributeError, TypeError) as error:
            raise ConnectionError(f"the answer is not one of an agent: {line[:80]!r}") from error
        while len(self._rest) < size:
            self._receive(timeout)
        data, self._rest = self._rest[:size], self._rest[size:]
        if "error" in header:
            raise AgentFailed(str(header["error"]))
        return header, data

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _receive(self, timeout: float) -> None:
        data = self._stream.receive(timeout)
        if not data:
            raise ConnectionError("the connection to the agent ended")
        self._rest += data
