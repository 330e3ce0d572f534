"""End the body of a Python test while a fault is in effect: at a halt, or when the maximum duration is over.

The waits of the harness check for a halt themselves. The body may wait in any way, for example with ``time.sleep``, so
it is interrupted with SIGINT, which also ends a sleep. The result is the verdict INCONCLUSIVE, not an interrupted
session.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from harness.common.errors import Inconclusive
from harness.common.timeouts import LOOK_EVERY


def interrupt_main() -> None:
    """Send SIGINT to the main thread only, not to the process group as Ctrl-C does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class BodyWatch:
    """Watches a ``with`` block in the main thread. ``look`` is called in another thread and returns a reason to end.

    It uses real time, not the clock of the experiment: the body is user code, which takes real time.
    """

    def __init__(self, look: Callable[[], str | None], interrupt: Callable[[], None] = interrupt_main) -> None:
        self._look, self._interrupt = look, interrupt
        self._over = threading.Event()
        self._reason: str | None = None
        self._ignored = False
        self._thread = threading.Thread(target=self._watch, name="watch-body", daemon=True)

    def __enter__(self) -> Self:
        # Python handles signals in the main thread only.
        if threading.current_thread() is threading.main_thread():
            # A shell starts background jobs with SIGINT ignored, and an ignored signal does not end a sleep.
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
            # The signal arrived just as the body ended.
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
