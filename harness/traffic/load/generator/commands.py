"""Non-blocking reading of the harness's commands from standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable

from gevent.os import make_nonblocking, nb_read

from harness.traffic.load.wire import EnterPhase, Stop, parse_command


def read_commands(execute: Callable[[EnterPhase | Stop], None], stop: Callable[[str], None]) -> None:
    """Call ``execute`` for every command, and ``stop`` with a reason when the input closes (the harness is gone)."""
    source = sys.stdin.fileno()
    # A blocking read would stop all greenlets of the process.
    make_nonblocking(source)
    rest = b""
    while new := nb_read(source, 65536):
        *lines, rest = (rest + new).split(b"\n")
        for line in lines:
            execute(parse_command(line))
    stop("the harness is gone: standard input closed")
