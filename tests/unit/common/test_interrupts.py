"""Signals while something must not be left half done: they wait, and none is lost."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

import pytest

from harness.common.interrupts import deferred, give_lines, rearm, terminate_as_interrupt

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # nohup, and some CI, start pytest with SIGHUP ignored.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    restore = terminate_as_interrupt()
    restore()
    yield
    restore()
    for number, handler in before.items():
        signal.signal(number, handler)


def _interrupted_by(number: signal.Signals, order: list[str]) -> None:
    with deferred():
        signal.raise_signal(number)
        signal.raise_signal(number)
        order.append("the rest of the body")


def _interrupted_and_failing() -> None:
    with deferred():
        signal.raise_signal(signal.SIGINT)
        raise LookupError("meanwhile")


def _nested(order: list[str]) -> None:
    with deferred():
        _interrupted_by(signal.SIGINT, order)
        order.append("never")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_end_of_the_body(number: signal.Signals) -> None:
    order: list[str] = []
    with pytest.raises(KeyboardInterrupt, match=number.name):
        _interrupted_by(number, order)
    assert order == ["the rest of the body"]


def test_an_error_of_the_body_does_not_swallow_the_signal() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        _interrupted_and_failing()
    assert isinstance(caught.value.__context__, LookupError)


def test_inner_deferral_ends_its_body_first() -> None:
    order: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        _nested(order)
    assert order == ["the rest of the body"]


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_counts_as_an_interrupt() -> None:
    terminate_as_interrupt()
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        signal.raise_signal(signal.SIGTERM)


def test_other_threads_do_not_touch_the_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def body() -> None:
        terminate_as_interrupt()
        with deferred():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


def _interrupt(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt, match=number.name):
        signal.raise_signal(number)


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_only_the_first_signal_interrupts(first: signal.Signals, second: signal.Signals) -> None:
    terminate_as_interrupt()
    _interrupt(first)
    signal.raise_signal(second)
    with deferred():
        signal.raise_signal(second)
    signal.raise_signal(second)


def test_after_a_deferred_signal_further_ones_are_held() -> None:
    terminate_as_interrupt()
    with pytest.raises(KeyboardInterrupt):
        _nested([])
    signal.raise_signal(signal.SIGHUP)


def test_caught_interrupt_does_not_block_the_next() -> None:
    terminate_as_interrupt()
    _interrupt(signal.SIGINT)
    rearm()
    _interrupt(signal.SIGTERM)


def test_handlers_of_before_the_session_are_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    restore = terminate_as_interrupt()
    _interrupt(signal.SIGHUP)
    restore()
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_signals_are_held_by_bodies_within_bodies() -> None:
    terminate_as_interrupt()
    _interrupt(signal.SIGHUP)
    order: list[str] = []
    with deferred():
        _nested(order)
    assert order == ["the rest of the body", "never"]


def test_without_a_session_every_signal_counts() -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            _interrupted_by(signal.SIGINT, [])


def _without_line() -> KeyboardInterrupt:
    """An interrupt that came at the first instruction of a function with a closure, which belongs to no line."""

    def function() -> tuple[FrameType, Callable[[], int]]:
        cell = 1
        return sys._getframe(), lambda: cell

    frame, _ = function()
    entry = TracebackType(None, frame, 0, -1)
    assert entry.tb_lineno is None
    return KeyboardInterrupt().with_traceback(entry)


def test_interrupt_between_two_lines_gets_a_line() -> None:
    outer = KeyboardInterrupt()
    outer.__cause__ = behind = LookupError()
    behind.__context__ = _without_line()
    behind.__context__.__context__ = outer
    give_lines(outer)
    entries = traceback.extract_tb(behind.__context__.__traceback__)
    assert [entry.lineno for entry in entries] == [_without_line.__code__.co_firstlineno + 3]


def test_pytest_can_show_an_interrupt_between_two_lines() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        raise _without_line()
    give_lines(caught.value)
    assert "KeyboardInterrupt" in str(caught.getrepr(funcargs=True))
