"""The steps at the end of an experiment, and the errors that they raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

_Entered = TypeVar("_Entered")


class CleanUp:
    """Steps that run in reverse order at the end of an experiment, each of them whatever the others raise.

    ``errors`` is the result: the error that ended the experiment, if one did, then those of the steps in the order
    raised. Only the last one is raised. An ExitStack does not always keep the others: for example, if the experiment
    ended without an error, an earlier error is missing in the context of a later one.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._steps = ExitStack()

    @property
    def interrupted(self) -> bool:
        """Whether a signal interrupted the experiment or its clean-up."""
        return any(map(_was_interrupted, self.errors))

    def callback(self, step: Callable[[], None]) -> None:
        """Call ``step`` at the end."""
        self._steps.callback(self.collecting()(step))

    def enter_context(self, context: AbstractContextManager[_Entered]) -> _Entered:
        """Enter a context now and exit it at the end."""
        return self._steps.enter_context(self._collected(context))

    def run(self, ended_by: BaseException | None) -> None:
        """Run all steps. ``ended_by`` is the error that ended the experiment. Raises the last error of the steps."""
        # Starts anew: an error collected before the end was handled, or it is ``ended_by`` or in its context.
        if ended_by is None:
            self.errors = []
            self._steps.close()
        else:
            self.errors = [ended_by]
            self._steps.__exit__(type(ended_by), ended_by, ended_by.__traceback__)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect the error of the body, which is still raised. For parts of a step whose error another may replace."""
        try:
            yield
        except BaseException as error:
            if not any(error is other for other in self.errors):
                self.errors.append(error)
            raise

    @contextmanager
    def _collected(self, context: AbstractContextManager[_Entered]) -> Iterator[_Entered]:
        with self.collecting(), context as entered:
            yield entered


def _was_interrupted(error: BaseException) -> bool:
    """Return whether an interruption is the error, or one of its causes and contexts.

    Code that does not use ``collecting``, such as a fault or an undo action, may raise an error of its own after an
    interruption. Both are followed: an error raised from a cause during clean-up has the earlier error in its context.
    """
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, KeyboardInterrupt):
            return True
        if each is not None and not any(each is other for other in found):
            found.append(each)
            waiting += [each.__cause__, each.__context__]
    return False
