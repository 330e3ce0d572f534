"""What earlier runs on the cluster of a session showed, before the session connects to it."""

from __future__ import annotations

from harness.common.errors import InputError
from harness.engine.choose_cluster import expected_context
from harness.gameday.history import History, on_context, read_history
from harness.pytest_plugin.session import Session


def context_of(session: Session) -> str | None:
    """Return the context of the session's cluster; None if it is known only once it is connected."""
    try:
        return expected_context(session.target)
    except InputError:
        # An invalid guard file, which connecting reports.
        return None


def history_of(session: Session, before: float) -> History:
    """Return what had ended at ``before`` (Unix seconds), of which only runs on this cluster count as tried."""
    settings = session.settings
    folders = [session.here / each for each in settings.history]
    return read_history(session.here / settings.report_dir, before, folders, on_context(context_of(session)))
