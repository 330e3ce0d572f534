"""A web server on loopback that receives what webhooks send, and answers as a test decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Returns the status, the headers and the body of the answer to a request; None: never answers.
Answers = Callable[["Received"], tuple[int, Mapping[str, str], bytes] | None]


@dataclass(frozen=True)
class Received:
    """One request: its method, path, headers (lower-case names) and body."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """The server: its URL and all requests so far. Requests without an answer end when the server does."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answers: Answers = lambda _request: (200, {}, b"{}")
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def events(self) -> list[str]:
        """The events of all notifications received, in order."""
        return [request.json["event"] for request in self.requests if request.json.get("kind") == "Notification"]


def receiver_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Tests read the requests instead."""

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.command, self.path, headers, body)
            with receiver.lock:
                receiver.requests.append(request)
                answer = receiver.answers(request)
            if answer is None:
                receiver.ended.wait()
                self.close_connection = True
                return
            status, given, data = answer
            self.send_response(status)
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET = do_PATCH = answer  # noqa: N815 - the names of the base class

    return Handler


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve until the end of the block."""
    receiver = Receiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), receiver_of(receiver))
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
