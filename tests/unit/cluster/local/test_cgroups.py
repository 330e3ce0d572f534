"""Control groups of both versions, on folders that look like them."""

from pathlib import Path

import pytest

from harness.cluster.local import cgroups
from harness.cluster.local.cgroups import Hierarchy, parse_hierarchies
from harness.common.clock import FakeClock
from harness.common.errors import ClusterBroken

V1 = """\
24 1 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
25 24 0:21 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
26 24 0:22 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
"""
HYBRID = (
    V1
    + """\
27 24 0:23 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
28 24 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
)
V2 = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V2_BESIDE_NAMED = V2 + "31 1 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"


def test_version_1_has_a_hierarchy_for_each_set_of_controllers() -> None:
    assert parse_hierarchies(V1) == (
        Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), delegates=False),
        Hierarchy(Path("/sys/fs/cgroup/memory"), delegates=False),
    )


def test_hybrid_v2_hierarchy_delegates_nothing() -> None:
    """Its controllers are all bound to version 1, and enabling them would fail."""
    assert [hierarchy.delegates for hierarchy in parse_hierarchies(HYBRID)] == [False] * 4


@pytest.mark.parametrize("mountinfo", [V2, V2_BESIDE_NAMED])
def test_v2_delegates_controllers_next_to_a_named_hierarchy(mountinfo: str) -> None:
    assert Hierarchy(Path("/sys/fs/cgroup"), delegates=True) in parse_hierarchies(mountinfo)


def test_a_hierarchy_that_is_mounted_twice_counts_once() -> None:
    again = "29 1 0:22 / /elsewhere rw - cgroup cgroup rw,memory\n"
    assert parse_hierarchies(V1 + again) == parse_hierarchies(V1)


def test_a_group_of_version_1_starts_with_its_parents_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty set would let no process run in it."""
    for folder in ("", "resilience", "resilience/shop", "resilience/shop/node", "resilience/shop/node/system"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "cpuset.cpus").write_text("0-1" if folder == "" else "\n")
    monkeypatch.setattr(cgroups, "hierarchies", lambda: (Hierarchy(tmp_path, delegates=False),))
    leaves = cgroups.make("resilience/shop/node", "system")
    assert leaves == [tmp_path / "resilience/shop/node/system"]
    assert (leaves[0] / "cpuset.cpus").read_text() == "0-1"


def version_2_tree(root: Path, offered: str) -> None:
    for folder in ("", "resilience", "resilience/shop", "resilience/shop/node", "resilience/shop/node/system"):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / "cgroup.controllers").write_text(offered)
        (root / folder / "cgroup.subtree_control").write_text("")


def test_v2_delegates_to_the_node_but_not_to_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that holds processes cannot pass controllers down: only its parents do."""
    version_2_tree(tmp_path, "cpu cpuset io memory pids")
    monkeypatch.setattr(cgroups, "hierarchies", lambda: (Hierarchy(tmp_path, delegates=True),))
    cgroups.make("resilience/shop/node", "system")
    passed = "+cpu +cpuset +memory +pids\n+io\n"
    for folder in ("", "resilience", "resilience/shop", "resilience/shop/node"):
        assert (tmp_path / folder / "cgroup.subtree_control").read_text() == passed, folder
    assert (tmp_path / "resilience/shop/node/system/cgroup.subtree_control").read_text() == ""


def test_group_unable_to_delegate_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is in a container whose processes are in the root of its own hierarchy."""
    version_2_tree(tmp_path, "cpu cpuset memory pids")
    monkeypatch.setattr(cgroups, "hierarchies", lambda: (Hierarchy(tmp_path, delegates=True),))

    def refuse(_control: Path, _controllers: set[str]) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(cgroups, "_enable", refuse)
    with pytest.raises(ClusterBroken, match=r"Device or resource busy; in a container, first move the processes"):
        cgroups.make("resilience/shop/node", "system")


def test_machine_without_a_needed_controller_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_2_tree(tmp_path, "cpu memory pids")
    monkeypatch.setattr(cgroups, "hierarchies", lambda: (Hierarchy(tmp_path, delegates=True),))
    with pytest.raises(ClusterBroken, match="lacks the cgroup controllers cpuset"):
        cgroups.make("resilience/shop/node", "system")


def test_last_cluster_removes_the_shared_parent_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "hierarchies", lambda: (Hierarchy(tmp_path, delegates=False),))
    for cluster in ("shop", "other"):
        (tmp_path / "resilience" / cluster / "node/system").mkdir(parents=True)
    cgroups.remove("resilience/shop", 1.0, FakeClock())
    assert [folder.name for folder in (tmp_path / "resilience").iterdir()] == ["other"]
    cgroups.remove("resilience/other", 1.0, FakeClock())
    assert not (tmp_path / "resilience").exists()


def test_a_group_that_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "hierarchies", lambda: (Hierarchy(tmp_path, delegates=False),))
    (tmp_path / "resilience/shop").mkdir(parents=True)
    (tmp_path / "resilience/shop/held").write_text("")
    with pytest.raises(ClusterBroken, match="resilience/shop cannot be removed"):
        cgroups.remove("resilience/shop", 1.0, FakeClock())


def test_this_process_is_in_no_cluster() -> None:
    assert not cgroups.contains("resilience", 1)
