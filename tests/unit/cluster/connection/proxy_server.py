"""Proxies on loopback that record what they are asked for: HTTP (CONNECT and plain requests) and SOCKS5."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxied:
    """What went through a proxy: where to, and the credentials that were shown. ``target`` overrides where to."""

    url: str = ""
    targets: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    password: str = ""
    target: tuple[str, int] | None = None

    def dial(self, host: str, port: int) -> socket.socket:
        self.targets.append(f"{host}:{port}")
        return socket.create_connection(self.target or (host, port), 10)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    proxied: Proxied

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nothing to report."""


def _pump(one: socket.socket, other: socket.socket) -> None:
    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=copy, args=(other, one), daemon=True)
    back.start()
    copy(one, other)
    back.join()


class _Http(socketserver.StreamRequestHandler):
    # What follows a request must stay in the socket, for the pump.
    rbufsize = 0
    server: _Server

    def handle(self) -> None:
        proxied = self.server.proxied
        head = b""
        while line := self.rfile.readline():
            head += line
            if line == b"\r\n":
                break
        if not head:
            return
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
        fields = dict(each.split(": ", 1) for each in lines[1:] if each)
        login = next((value for name, value in fields.items() if name.lower() == "proxy-authorization"), "")
        proxied.logins.append(login)
        if proxied.password and login != proxied.password:
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            with proxied.dial(host.strip("[]"), int(port)) as far:
                self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                _pump(self.connection, far)
            return
        parts = urlsplit(target)
        query = f"?{parts.query}" if parts.query else ""
        passed = [each for each in lines[1:] if not each.lower().startswith(("proxy-", "connection:"))]
        with proxied.dial(parts.hostname or "", parts.port or 80) as far:
            request = "\r\n".join([f"{method} {parts.path}{query} {version}", "Connection: close", *passed])
            far.sendall(request.encode("latin-1"))
            _pump(self.connection, far)


class _Socks(socketserver.StreamRequestHandler):
    rbufsize = 0
    server: _Server

    def handle(self) -> None:
        proxied = self.server.proxied
        methods = self.rfile.read(self.rfile.read(2)[1])
        if proxied.password:
            assert 2 in methods
            self.wfile.write(b"\x05\x02")
            user = self.rfile.read(self.rfile.read(2)[1])
            password = self.rfile.read(self.rfile.read(1)[0])
            proxied.logins.append(f"{user.decode()}:{password.decode()}")
            good = proxied.logins[-1] == proxied.password
            self.wfile.write(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return
        else:
            self.wfile.write(b"\x05\x00")
        kind = self.rfile.read(4)[3]
        if kind == 1:
            host = socket.inet_ntoa(self.rfile.read(4))
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, self.rfile.read(16))
        else:
            host = self.rfile.read(self.rfile.read(1)[0]).decode()
        (port,) = struct.unpack("!H", self.rfile.read(2))
        with proxied.dial(host, port) as far:
            self.wfile.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            _pump(self.connection, far)


@contextmanager
def proxying(scheme: str = "http") -> Iterator[Proxied]:
    """An ``http`` or a ``socks5`` proxy."""
    proxied = Proxied()
    with _Server(("127.0.0.1", 0), _Socks if scheme.startswith("socks") else _Http) as server:
        server.proxied = proxied
        proxied.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield proxied
        finally:
            server.shutdown()
            thread.join()
