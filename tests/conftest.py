"""Fixtures shared by all tests. None of them touches a real cluster."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import FakeClock
from tests.fake_world import World

# Generated cases are the same in every run, unless HYPOTHESIS_PROFILE=drawn draws new ones (scripts/test all).
settings.register_profile("same", derandomize=True)
settings.register_profile("drawn", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """A shell starts what runs in its background with Ctrl-C ignored, and so would everything that is started here."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that moves only when something sleeps on it."""
    return FakeClock()


@pytest.fixture
def fake_cluster(fake_clock: FakeClock) -> FakeCluster:
    """An empty cluster in memory, without controllers."""
    return FakeCluster(fake_clock)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A shop of three pods on a cluster in memory, with the controllers that bring them back."""
    return World.build(tmp_path)
