"""A cluster that the machine's limits would break later is refused before anything is started."""

import ctypes
import os
from pathlib import Path

import pytest

from harness.cluster.local import limits
from harness.common.errors import ClusterBroken


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "max_user_instances"
    file.write_text("128\n")
    monkeypatch.setattr(limits, "INOTIFY_LIMIT", file)
    return file


def test_a_cluster_that_fits_is_let_through(limit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "inotify_in_use", lambda: 94)
    limits.check_inotify(3)


def test_exceeded_limit_is_refused_with_numbers_and_remedy(limit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "inotify_in_use", lambda: 95)
    with pytest.raises(ClusterBroken, match=r"need about 34 .* 95 of the machine's 128 .*max_user_instances=512"):
        limits.check_inotify(3)


def test_instances_are_counted_where_they_are_held() -> None:
    before = limits._held(Path("/proc/self"))
    descriptor = ctypes.CDLL(None).inotify_init()
    try:
        assert limits._held(Path("/proc/self")) == before + 1
    finally:
        os.close(descriptor)
