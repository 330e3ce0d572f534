"""Refusing a machine that cannot carry a local cluster, with the way out."""

import os
from pathlib import Path

import pytest

from harness.cluster.local import packages
from harness.cluster.local.packages import Package
from harness.common.errors import ClusterBroken


def test_without_root_the_error_recommends_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ClusterBroken, match=r"needs root on Linux.*--cluster=kind"):
        packages.check_platform()


def test_outside_linux_the_error_recommends_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(ClusterBroken, match="needs root on Linux"):
        packages.check_platform()


def test_without_apt_the_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "PACKAGES", (Package("runc", str(tmp_path / "runc")),))
    monkeypatch.setattr(packages, "SEARCH", str(tmp_path))
    with pytest.raises(ClusterBroken, match=r"missing on this machine: runc .*--cluster=kind"):
        packages.ensure(lambda _message: None)


def test_only_missing_packages_are_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\n[ "$2" = update ] || touch {tmp_path}/runc\n')
    apt.chmod(0o755)
    (tmp_path / "there").touch()
    monkeypatch.setattr(packages, "KERNEL_MODULES", {})
    monkeypatch.setattr(packages, "SEARCH", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(
        packages, "PACKAGES", (Package("runc", str(tmp_path / "runc")), Package("there", str(tmp_path / "there")))
    )
    packages.ensure(lambda _message: None)
    assert (tmp_path / "log").read_text().splitlines() == ["-q update", "-q install --yes --no-install-recommends runc"]


def test_a_busybox_that_needs_shared_libraries_does_not_count(tmp_path: Path) -> None:
    """The images have none: it would start on the machine and fail in every container."""
    busybox = tmp_path / "busybox"
    package = Package("busybox-static", str(busybox), static=True)
    assert not package.is_installed()
    busybox.write_bytes(b"\x7fELF" + b"\0" * 500 + b"/lib64/ld-linux-x86-64.so.2\0")
    assert not package.is_installed()
    busybox.write_bytes(b"\x7fELF" + b"\0" * 5000)
    assert package.is_installed()


def test_apt_output_reaches_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: no such package' >&2\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setattr(packages, "SEARCH", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(packages, "PACKAGES", (Package("runc", str(tmp_path / "runc")),))
    with pytest.raises(ClusterBroken, match=r"(?s)exit code 100.*E: no such package"):
        packages.ensure(lambda _message: None)
