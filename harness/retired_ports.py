"""Local ports that no new connection may use for a while: each was dialled from, and nobody answered.

On the way to a Service every dial passes a node's connection tracking, which remembers for two minutes to which pod it
was sent, even when that pod is lost and never answers. Many users have many addresses; a generator has one, whose ports
come round sooner, and a new connection from such a port is sent to the lost pod again: users would seem to suffer for
minutes after everything is back. So the port is held by a socket that is bound to it and used for nothing: the kernel
gives a bound port to no connection.
"""

from __future__ import annotations

import ipaddress
import resource
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

# Linux forgets a connection that was never answered after 120 s (nf_conntrack_tcp_timeout_syn_sent).
HOLD_SECONDS = 125.0
# A seventh of the ports that Linux dials from: the rest is for use.
MOST = 4096


class RetiredPorts:
    """The ports of one process: at most ``most`` at a time, the oldest is let go for the next.

    Each is an open file, and ``files`` is how many the process needs for all else: those are left to it.
    """

    def __init__(self, files: int, now: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._now = now
        self._most = max(0, min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - files))
        self._held: deque[tuple[float, socket.socket]] = deque()

    def close(self, dialled: socket.socket, why: BaseException) -> None:
        """Close a socket from which a dial came to nothing, and hold its port unless somebody refused. Raises nothing:
        where the port cannot be held, all that is lost is this protection."""
        self._release()
        local = None
        with suppress(OSError):
            local = dialled.getsockname()
        dialled.close()
        if not local or not local[1] or not self._most or isinstance(why, ConnectionRefusedError):
            return
        with suppress(OSError):
            holder = socket.socket(dialled.family, socket.SOCK_STREAM)
            try:
                holder.bind(local)
            except OSError:
                holder.close()
                raise
            self._held.append((self._now(), holder))

    def _release(self) -> None:
        while self._held and (self._now() - self._held[0][0] > HOLD_SECONDS or len(self._held) >= self._most):
            _, holder = self._held.popleft()
            holder.close()


def family_of(host: str) -> socket.AddressFamily | None:
    """Of a literal address; None for a name, which may have several."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6
