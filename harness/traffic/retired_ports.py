"""Local ports that are blocked for new connections for a while, after a connection attempt from them got no answer.

A connection attempt to a Service passes the connection tracking (conntrack) of a node, which keeps its route to a pod
for two minutes, even if that pod is lost and never answers. Real users have many addresses; a generator has one and
reuses its ports sooner. A new connection from such a port would be routed to the lost pod again, and the outage would
seem to last minutes longer than it did. So an otherwise unused socket stays bound to the port: the kernel does not
assign a bound port to a new connection.
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
# A seventh of Linux's ephemeral ports; the others stay available.
MOST = 4096


class RetiredPorts:
    """The blocked ports of one process: at most ``most`` at a time; the oldest is released for the next.

    Each is an open file; ``files`` is the number of open files that the process needs otherwise.
    """

    def __init__(self, files: int, now: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._now = now
        self._most = max(0, min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - files))
        self._held: deque[tuple[float, socket.socket]] = deque()

    def close(self, dialled: socket.socket, why: BaseException) -> None:
        """Close a socket whose connection attempt failed, and block its port unless the connection was refused.

        Never raises: if the port cannot be blocked, only this protection is missing.
        """
        self._release()
        local = None
        # The port must be read while the socket is open, and can be bound again only after it is closed.
        with suppress(OSError):
            local = dialled.getsockname()
        dialled.close()
        # A refused connection was answered, so connection tracking does not keep a route to a lost pod for it.
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
    """Return the address family of an IP address; None for a host name, which may have addresses of both."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6
