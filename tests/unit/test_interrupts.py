"""Signals while something must not be left half done: they wait, and none is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from harness.interrupts import deferred, terminate_as_interrupt


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
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


def test_one_within_another_ends_its_own_body_first() -> None:
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


def test_other_threads_leave_the_handlers_alone() -> None:
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
