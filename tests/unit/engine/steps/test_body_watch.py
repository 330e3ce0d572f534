"""The body of a Python test ends when it must, and keeps its own end when it need not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from harness.common.errors import Inconclusive
from harness.engine.steps.body_watch import BodyWatch

LONG = 30.0


def test_body_without_a_stop_reason_ends_normally() -> None:
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
def test_ignored_ctrl_c_does_not_end_a_body_without_a_reason(ctrl_c: object) -> None:
    with BodyWatch(lambda: None):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is ctrl_c


def test_reason_arriving_as_the_body_ends_still_counts() -> None:
    told = threading.Event()
    with pytest.raises(Inconclusive, match="halted"), BodyWatch(lambda: "halted", interrupt=told.set):
        assert told.wait(LONG)


def test_exception_of_the_body_is_not_replaced() -> None:
    told = threading.Event()

    def body() -> None:
        with BodyWatch(lambda: "halted", interrupt=told.set):
            assert told.wait(LONG)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()


def test_no_watch_runs_in_a_thread_without_signals() -> None:
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
