"""The plugin for sessions with workers of pytest-xdist: what the workers are sent, and how experiments are shared."""

from __future__ import annotations

from typing import Any

import pytest

from harness.pytest_plugin.items import SESSION_KEY

# Seconds that a worker gets to undo all effects.
EXIT_TIMEOUT = 180


def pytest_configure(config: pytest.Config) -> None:
    # An experiment takes a minute or more: in the batches of pytest-xdist one worker would still be busy with its own
    # when the others have ended, and mutants would start long before experiments of a later batch.
    if config.stash[SESSION_KEY].settings.cluster and getattr(config.option, "maxschedchunk", 0) is None:
        config.option.maxschedchunk = 1


# Optional, since pytest refuses a hook that no plugin defines, and pytest-xdist may not be installed.
@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - a type of pytest-xdist
    session = node.config.stash[SESSION_KEY]
    # After Ctrl-C a worker must still undo its effects; the ten seconds of pytest-xdist are too short for that.
    node.nodemanager.EXIT_TIMEOUT = EXIT_TIMEOUT
    node.workerinput["resilience"] = {
        "run_id": session.run_id,
        "seed": session.seed,
        "here": str(session.here),
        "started": session.started,
    }
    # A worker gets only the paths of the command line and could find another rootdir; its node ids would differ.
    node.config.option.rootdir = str(node.config.rootpath)
