"""Sends the recorded requests of a replay, one for each arrival."""

from __future__ import annotations

from pydantic import Field

from harness.traffic.load.behaviour import OK, Behaviour, Client, Reply
from harness.traffic.load.replay.declaration import SAFE_METHODS, Replay
from harness.traffic.load.replay.recording import Recorded, read_recording


class Replayed(Behaviour):
    """Arrival N sends request N of the recording, which starts again after its end.

    A response is good if its status is below 400, or the client error that was recorded: a page that was not found
    then is not found now.
    """

    recording: Replay = Field(description="the recording, with the absolute path of its file")

    def arrive(self, client: Client, number: int) -> None:
        requests = read_recording(self.recording).requests
        self._send(client, requests[(number - 1) % len(requests)])

    def probe(self, client: Client) -> None:
        """Send the first request that changes nothing."""
        requests = read_recording(self.recording).requests
        self._send(client, next((one for one in requests if one.method in SAFE_METHODS), requests[0]))

    def _send(self, client: Client, one: Recorded) -> None:
        def check(reply: Reply) -> str:
            expected = reply.status < 400 or (400 <= one.status < 500 and reply.status == one.status)
            return OK if expected else str(reply.status)

        client.request(one.method, one.path, body=one.body, headers=one.headers, name=one.name, check=check)
