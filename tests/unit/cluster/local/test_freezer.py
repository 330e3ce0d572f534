"""Freezing groups, on folders that stand for the control groups of version 1 and of version 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.local import cgroups, freezer
from harness.common.clock import FakeClock
from harness.common.errors import ClusterBroken

GROUP = "resilience/shop/worker-1"


def machine(root: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> Path:
    """A hierarchy with the group and these files of it (``_`` stands for the dot)."""
    folder = root / GROUP
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    monkeypatch.setattr(cgroups, "folders", lambda path: [root / path])
    return folder


def test_version_1_is_frozen_by_state_and_thawed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = machine(tmp_path, monkeypatch, freezer_state="THAWED")
    assert not freezer.is_frozen(GROUP)
    freezer.freeze(GROUP, FakeClock())
    assert (folder / "freezer.state").read_text() == "FROZEN"
    assert freezer.is_frozen(GROUP)
    freezer.thaw(GROUP)
    assert (folder / "freezer.state").read_text() == "THAWED"


def test_v2_is_frozen_when_the_kernel_confirms_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = machine(tmp_path, monkeypatch, cgroup_freeze="0", cgroup_events="populated 1\nfrozen 1\n")
    freezer.freeze(GROUP, FakeClock())
    assert (folder / "cgroup.freeze").read_text() == "1"
    assert freezer.is_frozen(GROUP)
    freezer.thaw(GROUP)
    assert not freezer.is_frozen(GROUP)


def test_group_not_frozen_in_time_is_thawed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a node must not stay frozen when nobody will undo it: the fault has failed."""
    folder = machine(tmp_path, monkeypatch, cgroup_freeze="0", cgroup_events="populated 1\nfrozen 0\n")
    with pytest.raises(ClusterBroken, match=r"worker-1 to be frozen: not within 20 s"):
        freezer.freeze(GROUP, FakeClock())
    assert (folder / "cgroup.freeze").read_text() == "0"


def test_freezing_group_counts_as_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(tmp_path, monkeypatch, freezer_state="FREEZING")
    assert freezer.is_frozen(GROUP)


def test_missing_group_is_not_frozen_and_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "folders", lambda path: [tmp_path / path])
    assert not freezer.is_frozen(GROUP)
    freezer.thaw(GROUP)
    with pytest.raises(ClusterBroken, match="no control group that can be frozen"):
        freezer.freeze(GROUP, FakeClock())
