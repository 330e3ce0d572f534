"""Ends the body of a Python test while a fault is there: at a halt, and when the longest time is over.

What the harness waits for itself it ends itself. A body may wait in any way it likes, ``time.sleep`` included, so it is
interrupted as by Ctrl-C, which wakes a sleep up; what comes of it is no interruption of the session, but INCONCLUSIVE.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from harness.errors import Inconclusive
from harness.timeouts import LOOK_EVERY


def interrupt_main() -> None:
    """As Ctrl-C does, but for the main thread alone."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class BodyWatch:
    """Watches during a ``with`` block in the main thread. ``look`` gives a reason to end, from a thread of its own.

    Time is the machine's own, whatever clock the experiment has: the body is somebody's code and takes real time.
    """

    def __init__(self, look: Callable[[], str | None], interrupt: Callable[[], None] = interrupt_main) -> None:
        self._look, self._interrupt = look, interrupt
        self._over = threading.Event()
        self._reason: str | None = None
        self._ignored = False
        self._thread = threading.Thread(target=self._watch, name="watch-body", daemon=True)

    def __enter__(self) -> Self:
        # In another thread no signal arrives.
        if threading.current_thread() is threading.main_thread():
            # A shell starts what runs in its background with Ctrl-C ignored, and an ignored signal wakes nothing up.
            self._ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            if self._ignored:
                signal.signal(signal.SIGINT, self._wake)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._over.set()
            if self._thread.ident is not None:
                self._thread.join()
        except KeyboardInterrupt as interrupted:
            # It came just as the body ended by itself.
            error = interrupted
        finally:
            if self._ignored:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._reason is not None and (error is None or isinstance(error, KeyboardInterrupt)):
            raise Inconclusive(self._reason) from error

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        if self._reason is not None:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            reason = self._look()
            if reason is not None:
                self._reason = reason
                self._interrupt()
                return
