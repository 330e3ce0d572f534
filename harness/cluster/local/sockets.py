"""Connects from inside another network namespace.

A socket belongs to the network namespace of its thread at its creation, permanently. So a short-lived thread enters the
namespace, connects, and passes the socket on; no other thread changes its namespace.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from pathlib import Path

# From linux/sched.h; ``os.CLONE_NEWNET`` exists only since Python 3.12.
CLONE_NEWNET = 0x40000000


def connect(namespace: Path, address: tuple[str, int], timeout: float = 5.0) -> socket.socket:
    """Return a TCP connection to an IPv4 address, dialled from a network namespace. Raises OSError."""
    result: list[socket.socket | OSError] = []
    thread = threading.Thread(target=_connect_there, args=(namespace, address, timeout, result), daemon=True)
    thread.start()
    thread.join()
    outcome = result[0]
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


def listens(namespace: Path, address: tuple[str, int]) -> bool:
    """Return whether something accepts connections at an address in a network namespace."""
    try:
        connect(namespace, address).close()
    except OSError:
        return False
    return True


def _connect_there(
    namespace: Path, address: tuple[str, int], timeout: float, result: list[socket.socket | OSError]
) -> None:
    connection = None
    try:
        _enter(namespace)
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        connection.connect(address)
        result.append(connection)
    except OSError as error:
        if connection is not None:
            connection.close()
        result.append(error)


def _enter(namespace: Path) -> None:
    # os.setns exists only since Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter {namespace}: {os.strerror(number)}")
    finally:
        os.close(descriptor)
