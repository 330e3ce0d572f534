"""Signals that end a session: the first one interrupts it, and none of them interrupts the cleanup.

The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt. The session then undoes its faults, cleans up and writes
its report. Further signals are ignored meanwhile, since one of them would abort the remaining steps. If the session
continues nevertheless (some code caught the interrupt), ``rearm`` makes the next signal count again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _State:
    """Whether signals are handled (``armed``, from ``terminate_as_interrupt`` on) and whether one has arrived."""

    armed = interrupted = False


_state = _State()


@contextmanager
def deferred() -> Iterator[None]:
    """Defer SIGINT, SIGTERM and SIGHUP until the end of the body, then raise KeyboardInterrupt for the first one.

    In other threads this does nothing: Python delivers signals to the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    ending = _state.interrupted

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in _SIGNALS if not _ignored(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if _state.interrupted:
            # A nested body was interrupted; it could not replace the handlers that were just restored.
            _replace(_interrupt, _held)
        # Raised in the finally block so that an error of the body cannot swallow the signal; it becomes the context.
        if came and not ending:
            _interrupt(came[0], None)


def terminate_as_interrupt() -> Callable[[], None]:
    """Make the first SIGINT, SIGTERM or SIGHUP end the session with KeyboardInterrupt, so that it cleans up.

    Return a function that restores the handlers. Has an effect in the main thread only. Signals that are ignored
    already stay ignored, so that ``nohup`` works.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    _state.armed, _state.interrupted = True, False
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS if not _ignored(number)}

    def restore() -> None:
        _state.armed = _state.interrupted = False
        for number, handler in before.items():
            signal.signal(number, handler)

    return restore


def rearm() -> None:
    """Handle the next signal again, after an earlier one did not end the session."""
    _state.interrupted = False
    _replace(_held, _interrupt)


def give_lines(error: BaseException) -> None:
    """Set the line number of every traceback entry of an error and of its causes and contexts.

    A signal may arrive at an instruction without a line, such as the first one of a function with a closure. The
    entry's line number is None then, and pytest fails with a TypeError when it reports the interrupt: it exits with 1
    instead of 2.
    """
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        each = errors.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = _lined(each.__traceback__)
        entry = each.__traceback__
        while entry is not None:
            entry.tb_next = _lined(entry.tb_next)
            entry = entry.tb_next
        errors += [each.__cause__, each.__context__]


def _lined(entry: TracebackType | None) -> TracebackType | None:
    # Typed as int in typeshed, but None for an instruction without a line.
    line: int | None = entry.tb_lineno if entry else 0
    if entry is None or line is not None:
        return entry
    return TracebackType(entry.tb_next, entry.tb_frame, entry.tb_lasti, entry.tb_frame.f_code.co_firstlineno)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _state.interrupted = _state.armed
    _replace(_interrupt, _held)
    raise KeyboardInterrupt(signal.Signals(number).name)


def _held(_number: int, _frame: FrameType | None) -> None:
    """Ignore the signal: the session is already ending."""


def _replace(old: object, new: Callable[[int, FrameType | None], None]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is old:
                signal.signal(number, new)


def _ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN
