"""Reads the harness's commands from standard input, without ever blocking the load."""

from __future__ import annotations

import sys
from collections.abc import Callable

from gevent.os import make_nonblocking, nb_read

from harness.load.wire import EnterPhase, Stop, parse_command


def read_commands(obey: Callable[[EnterPhase | Stop], None], stop: Callable[[str], None]) -> None:
    """Obey command after command; when the input closes, the harness is gone and the load ends with it."""
    source = sys.stdin.fileno()
    make_nonblocking(source)
    rest = b""
    while new := nb_read(source, 65536):
        *lines, rest = (rest + new).split(b"\n")
        for line in lines:
            obey(parse_command(line))
    stop("the harness is gone: standard input closed")
