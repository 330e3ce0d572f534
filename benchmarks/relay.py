"""A TCP relay to the API server whose connections can all be cut at once, as a network failure would."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Relay:
    """Listens on loopback. TLS passes through, so the server's certificate must be valid for 127.0.0.1."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self) -> int:
        """Break every connection; return how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for one in (one for pair in pairs for one in pair):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.cuts += 1
        return len(pairs)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target, 5.0)
            except OSError:
                return
            far.settimeout(None)
            with self._lock:
                self._pairs.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def through_relay(kubeconfig: Path, folder: Path) -> tuple[Path, Relay]:
    """Return a copy of a kubeconfig whose first cluster is reached through a relay, and the relay."""
    body = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    cluster = body["clusters"][0]["cluster"]
    parts = urlsplit(cluster["server"])
    relay = Relay(parts.hostname or "", parts.port or 443)
    cluster["server"] = f"{parts.scheme}://127.0.0.1:{relay.port}"
    copy = folder / "relayed.kubeconfig"
    copy.write_text(yaml.safe_dump(body), encoding="utf-8")
    return copy, relay
