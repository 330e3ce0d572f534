"""Every error that the harness raises on purpose.

::

    HarnessError
    ├── InputError             what the user wrote is wrong; carries every problem found, each with its place
    ├── ClusterError           the cluster cannot be used
    │   ├── ClusterRefused     the guard says no: this context, namespace or victim is not allowed
    │   ├── ClusterUnreachable the API server does not answer
    │   └── ClusterBroken      a cluster of ours could not be made, or did not become ready
    ├── CapabilityMissing      this cluster cannot do what the experiment asks for
    ├── ApiError               the API server answered, and the answer is no (status, reason, message)
    ├── NotYet                 what was begun is not finished: ask again
    ├── TimedOut               a bounded wait ended; carries what was last seen
    ├── Inconclusive           nothing can be concluded from here on, for the reason given
    └── UndoFailed             an effect could not be taken back: the loudest error there is
        └── LeftBehind         something is in the cluster that was not there before
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class HarnessError(Exception):
    """Base of every error raised on purpose."""

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return False


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the input: where it stands, what was found, what was expected."""

    message: str
    file: Path | None = None
    line: int | None = None
    field: str = ""

    def __str__(self) -> str:
        place = str(self.file) if self.file else ""
        if place and self.line is not None:
            place += f":{self.line}"
        return ": ".join(part for part in (place, self.field, self.message) if part)


class InputError(HarnessError):
    """What the user wrote is wrong. Raised before anything is touched, with all problems at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ClusterError(HarnessError):
    """The cluster cannot be used."""


class ClusterRefused(ClusterError):
    """The guard says no."""


class ClusterUnreachable(ClusterError):
    """The API server does not answer."""


class ClusterBroken(ClusterError):
    """A cluster of ours could not be made, or did not become ready."""


class CapabilityMissing(HarnessError):
    """This cluster cannot do what the experiment asks for."""


class ApiError(HarnessError):
    """The API server answered with an error, or (status 0) the connection to it failed.

    ``status`` is the HTTP status; ``reason`` the Kubernetes reason (``NotFound``, ``Conflict`` …).
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later: connection lost, too many requests, server errors."""
        return self.status in {0, 429} or self.status >= 500

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def gone(self) -> bool:
        """Whether the resourceVersion asked for is no longer served: the watch must list again."""
        return self.status == 410


class NotYet(HarnessError):
    """What was begun is not finished; asked again, it goes on. The message says what is still to come."""


class TimedOut(HarnessError):
    """A bounded wait ended without what it waited for. ``last`` is what was last seen."""

    def __init__(self, what: str, seconds: float, last: str) -> None:
        self.what, self.seconds, self.last = what, seconds, last
        super().__init__(f"{what}: not within {seconds:g} s; last seen: {last or 'nothing'}")


class Inconclusive(HarnessError):
    """Nothing can be concluded from here on; the message is the reason that the verdict will carry."""


class UndoFailed(HarnessError):
    """An effect could not be taken back."""


class LeftBehind(UndoFailed):
    """Something is in the cluster, or missing from it, that an experiment should not have left so."""
