"""Every error that the harness raises on purpose.

::

    HarnessError
    ├── InputError             the user's input is wrong; has all problems found, each with file, line and field
    ├── ClusterError           the cluster cannot be used
    │   ├── ClusterRefused     the guard does not allow this context, namespace or victim
    │   │   └── Vetoed         the veto webhook denied the run or an experiment
    │   ├── ClusterUnreachable the API server does not answer
    │   │   └── KubeconfigInvalid  the kubeconfig is wrong: also an InputError
    │   └── ClusterBroken      an owned cluster could not be created or did not become ready
    ├── PrometheusUnusable     the server at --prometheus-url does not answer like Prometheus
    ├── CapabilityMissing      this cluster lacks a capability that the experiment needs
    ├── ApiError               the API server answered with an error (status, reason, message)
    │   └── CredentialsFailed  no credentials for the API server could be obtained
    ├── NotYet                 an operation has started but not finished: call again to continue
    ├── TimedOut               a bounded wait ended; has what was last seen
    ├── Inconclusive           the run cannot reach a conclusion, for the reason given
    └── UndoFailed             an effect could not be undone
        └── LeftBehind         the experiment left something in the cluster, or something missing from it
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


class SecretValueError(ValueError):
    """A value is wrong and may be a secret: neither it nor its line in the file may be shown."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error in the input: its place, what was found and what was expected.

    The line of a ``secret`` one may contain a secret, so that it is never quoted.
    """

    message: str
    file: Path | None = None
    line: int | None = None
    field: str = ""
    secret: bool = False

    def __str__(self) -> str:
        place = str(self.file) if self.file else ""
        if place and self.line is not None:
            place += f":{self.line}"
        return ": ".join(part for part in (place, self.field, self.message) if part)


class InputError(HarnessError):
    """The user's input is wrong. Raised before anything is changed, with all problems at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ClusterError(HarnessError):
    """The cluster cannot be used."""


class ClusterRefused(ClusterError):
    """The guard does not allow this context, namespace or victim."""


class Vetoed(ClusterRefused):
    """The veto webhook denied the run or an experiment, or gave no answer."""


class ClusterUnreachable(ClusterError):
    """The API server does not answer."""


# Both kinds of error: a wrong kubeconfig is the user's input, and without it the cluster cannot be used.
class KubeconfigInvalid(ClusterUnreachable, InputError):
    """A kubeconfig, or what it refers to, is wrong."""


class ClusterBroken(ClusterError):
    """An owned cluster could not be created or did not become ready."""


class PrometheusUnusable(HarnessError):
    """The server at --prometheus-url does not answer, or is not Prometheus."""


class CapabilityMissing(HarnessError):
    """This cluster lacks a capability that the experiment needs."""


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
        # 429 is also a disruption budget's refusal of an eviction, but evictions are never retried (see KubeApi.evict).
        return self.status in {0, 429} or self.status >= 500

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def gone(self) -> bool:
        """Whether the requested resourceVersion is no longer available, so that the watch must list again."""
        return self.status == 410


class CredentialsFailed(ApiError):
    """No credentials could be obtained, so no request was sent: a token file is unreadable or an exec plug-in failed.

    The message includes the plug-in's output.
    """

    def __init__(self, message: str) -> None:
        super().__init__(0, "CredentialsFailed", message)

    @property
    def retryable(self) -> bool:
        return False


class NotYet(HarnessError):
    """An operation has started but not finished; calling it again continues it. The message names what is pending."""


class TimedOut(HarnessError):
    """A wait ended without success. ``last`` describes what was last seen."""

    def __init__(self, what: str, seconds: float, last: str) -> None:
        self.what, self.seconds, self.last = what, seconds, last
        super().__init__(f"{what}: not within {seconds:g} s; last seen: {last or 'nothing'}")


class Inconclusive(HarnessError):
    """The run cannot reach a conclusion; the message becomes the reason of the INCONCLUSIVE verdict."""


class UndoFailed(HarnessError):
    """An effect could not be undone."""


class LeftBehind(UndoFailed):
    """The experiment left something in the cluster, or something missing from it."""
