"""What takes long is left out unless it is asked for."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def kills_only_when_asked_for(request: pytest.FixtureRequest) -> None:
    """``-m kill_matrix`` asks for it."""
    marked = request.node.get_closest_marker("kill_matrix") is not None
    if marked and "kill_matrix" not in str(request.config.option.markexpr):
        pytest.skip("kills many runs: -m kill_matrix")
