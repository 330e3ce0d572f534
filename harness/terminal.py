"""Lines on pytest's terminal while it runs."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext, suppress

import pytest

from harness.reporting.plain import harmless


def is_worker(config: pytest.Config) -> bool:
    """Whether this is a process of pytest-xdist's, which has no terminal."""
    return hasattr(config, "workerinput")


def progress(config: pytest.Config, message: str) -> None:
    """One line of progress; a worker says none."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or is_worker(config):
        return
    # A terminal that is gone must not keep anything from being taken back.
    with suppress(OSError), _uncaptured(config):
        reporter.ensure_newline()
        reporter.write_line(harmless(message), light=True)


def notice(config: pytest.Config, message: str) -> None:
    """One line of progress that a worker says too, on standard error: all that it shares with the terminal."""
    if not is_worker(config):
        progress(config, message)
        return
    with suppress(OSError), _uncaptured(config):
        sys.stderr.write(f"{harmless(message)}\n")
        sys.stderr.flush()


def _uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    capture = config.pluginmanager.get_plugin("capturemanager")
    found: AbstractContextManager[None] = capture.global_and_fixture_disabled() if capture else nullcontext()
    return found
