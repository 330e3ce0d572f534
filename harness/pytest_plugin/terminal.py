"""Progress lines on pytest's terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

import pytest

from harness.common.errors import HarnessError
from harness.results.reporting.plain import harmless


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process is a pytest-xdist worker, which has no terminal."""
    return hasattr(config, "workerinput")


def progress(config: pytest.Config, message: str) -> None:
    """Print one line of progress; a worker prints nothing."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or is_worker(config):
        return
    # Undo continues even if the terminal is closed.
    with suppress(OSError), _uncaptured(config):
        reporter.ensure_newline()
        reporter.write_line(harmless(message), light=True)


def notice(config: pytest.Config, message: str) -> None:
    """Print one line of progress; a worker prints it to standard error, the only stream it shares with the terminal."""
    if not is_worker(config):
        progress(config, message)
        return
    with suppress(OSError), _uncaptured(config):
        sys.stderr.write(f"{harmless(message)}\n")
        sys.stderr.flush()


@contextmanager
def reported(session: pytest.Session, what: str) -> Iterator[None]:
    """Report an error of the body as progress, so that the other steps at the end of a session still run."""
    try:
        yield
    except (HarnessError, OSError) as error:
        progress(session.config, f"{what}: {error}")
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def _uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    capture = config.pluginmanager.get_plugin("capturemanager")
    found: AbstractContextManager[None] = capture.global_and_fixture_disabled() if capture else nullcontext()
    return found
