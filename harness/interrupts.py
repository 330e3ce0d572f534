"""Signals while something must not be left half done: they wait until it is, and then count as they would have."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold SIGINT, SIGTERM and SIGHUP back for the body; raise KeyboardInterrupt after it when one came.

    Only the main thread may set handlers; in another thread no signal arrives anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in _SIGNALS if not _ignored(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        # In here, so that an error of the body cannot swallow the signal: the error stays on as its context.
        if came:
            raise KeyboardInterrupt(signal.Signals(came[0]).name)


def terminate_as_interrupt() -> None:
    """Make SIGTERM, and the loss of the terminal, end the session the way Ctrl-C does: undo, clean up, report.

    In the main thread only. What is ignored stays so: ``nohup`` means it.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if not _ignored(number):
            signal.signal(number, interrupt)


def _ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN
