"""What a machine is short of."""

from __future__ import annotations

from pathlib import Path

from harness.cluster.kind.machine import shortages


def machine(root: Path, instances: int, watches: int, free_kib: int) -> Path:
    settings = root / "sys/fs/inotify"
    settings.mkdir(parents=True)
    (settings / "max_user_instances").write_text(f"{instances}\n")
    (settings / "max_user_watches").write_text(f"{watches}\n")
    (root / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable:   {free_kib} kB\n")
    return root


def test_sufficient_machine_has_no_shortage(tmp_path: Path) -> None:
    assert shortages(machine(tmp_path, 512, 524288, 8 << 20)) == []


def test_every_shortage_is_reported_with_its_number(tmp_path: Path) -> None:
    instances, watches, memory = shortages(machine(tmp_path, 128, 8192, 512 << 10))
    assert "max_user_instances is 128" in instances
    assert "sysctl fs.inotify.max_user_instances=512" in instances
    assert "max_user_watches is 8192" in watches
    assert memory.startswith("512 MiB of memory")


def test_machine_without_figures_has_no_shortage(tmp_path: Path) -> None:
    """Docker Desktop's daemon runs in another machine than this one."""
    assert shortages(tmp_path) == []
