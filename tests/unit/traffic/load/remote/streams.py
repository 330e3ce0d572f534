"""A stream to an agent in this process, in memory, that can be cut at any byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.traffic.load.remote.agent import Agent
from harness.traffic.load.remote.messages import encode


@dataclass
class AgentStream:
    """What a TCP connection to the agent would do; ``left`` is how many bytes of answers arrive before it breaks."""

    agent: Agent
    left: float = float("inf")
    on_send: Callable[[dict[str, object]], None] = lambda _request: None
    _waiting: bytes = b""
    closed: bool = field(default=False)

    def send(self, data: bytes) -> None:
        if self.closed or self.left <= 0:
            raise ConnectionResetError("cut")
        for line in data.splitlines():
            request = json.loads(line)
            self.on_send(request)
            self._waiting += encode(*self.agent.answer(request))

    def receive(self, timeout: float) -> bytes:
        del timeout
        size = int(min(1000, self.left, len(self._waiting)))
        self.left -= size
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        if not data:
            raise ConnectionResetError("cut")
        return data

    def close(self) -> None:
        self.closed = True
