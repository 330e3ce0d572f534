"""What is built depends neither on the user's settings nor on the machine that builds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.local.toolchain import Go


def test_programs_are_built_for_linux_whatever_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They go into images and nodes, also those that somebody makes for kind on a Mac."""
    monkeypatch.setenv("GOOS", "darwin")
    monkeypatch.setenv("GOFLAGS", "-race")
    environment = Go(Path("/usr/bin/go"), "go1.26.8").environment()
    assert (environment["GOOS"], environment["GOFLAGS"]) == ("linux", "-mod=readonly")
