"""An API server that tells the same long story to everyone who watches, as fast as it is listened to.

``python -m benchmarks.replay_server PODS ROUNDS``: every pod of a file of JSON lines changes once a round; the port is
printed. A real server forgets its past within seconds when thousands of pods change; this measures the listener alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def story(pods: list[dict[str, Any]], rounds: int) -> list[bytes]:
    """The lines of the watch: ADDED in the first round, MODIFIED in the others, versions counted from 2."""

    def tell() -> Iterator[bytes]:
        version = 1
        for number in range(rounds):
            for pod in pods:
                version += 1
                pod["metadata"]["resourceVersion"] = str(version)
                event = {
                    "type": "MODIFIED" if number else "ADDED",
                    "object": {"kind": "Pod", "apiVersion": "v1", **pod},
                }
                yield json.dumps(event, separators=(",", ":")).encode() + b"\n"

    return list(tell())


class Teller(BaseHTTPRequestHandler):
    """Answers every GET with the rest of the story."""

    protocol_version = "HTTP/1.1"
    lines: list[bytes] = []  # noqa: RUF012 - set once, before the first request

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nobody reads it."""

    def do_GET(self) -> None:
        first = int(self.path.partition("resourceVersion=")[2].partition("&")[0]) - 1
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in self.lines[first:]:
            # One chunk an event, as the real one sends them.
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")


def main(pods: str, rounds: str) -> None:
    """Serve until killed."""
    Teller.lines = story([json.loads(line) for line in Path(pods).read_bytes().splitlines()], int(rounds))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Teller)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
