"""The body of a Python test ends when it must, and keeps its own end when it need not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from harness.body_watch import BodyWatch
from harness.errors import Inconclusive

LONG = 30.0


def test_a_body_that_nothing_speaks_against_ends_as_it_likes() -> None:
    with BodyWatch(lambda: None):
        pass
    with pytest.raises(ZeroDivisionError), BodyWatch(lambda: None):
        raise ZeroDivisionError


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["in a terminal", "in a background"])
def ctrl_c(request: pytest.FixtureRequest) -> Iterator[object]:
    before = signal.signal(signal.SIGINT, request.param)
    yield request.param
    signal.signal(signal.SIGINT, before)


def test_a_reason_wakes_the_body_up_and_is_its_end(ctrl_c: object) -> None:
    def body() -> None:
        with BodyWatch(lambda: "halted by the shop"):
            threading.Event().wait(LONG)
            pytest.fail("nobody woke it up")

    with pytest.raises(Inconclusive, match="halted by the shop") as caught:
        body()
    assert isinstance(caught.value.__cause__, KeyboardInterrupt)
    assert signal.getsignal(signal.SIGINT) is ctrl_c


@pytest.mark.parametrize("ctrl_c", [signal.SIG_IGN], indirect=True)
def test_where_ctrl_c_is_ignored_it_ends_no_body_that_nothing_speaks_against(ctrl_c: object) -> None:
    with BodyWatch(lambda: None):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is ctrl_c


def test_a_reason_that_comes_just_as_the_body_ends_counts_all_the_same() -> None:
    told = threading.Event()
    with pytest.raises(Inconclusive, match="halted"), BodyWatch(lambda: "halted", interrupt=told.set):
        assert told.wait(LONG)


def test_what_the_body_raised_by_itself_is_not_replaced() -> None:
    told = threading.Event()

    def body() -> None:
        with BodyWatch(lambda: "halted", interrupt=told.set):
            assert told.wait(LONG)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()


def test_in_another_thread_which_no_signal_reaches_nothing_is_watched() -> None:
    looked: list[bool] = []

    def look() -> str | None:
        looked.append(True)
        return "halted"

    def body() -> None:
        with BodyWatch(look):
            pass

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert looked == []
