"""Programs of Debian packages for tests, downloaded by name and unpacked into the cache: nothing is installed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest
from filelock import FileLock

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resilience-harness" / "debian-programs"


def unpacked(*packages: str) -> Path:
    """The folder with what the packages have in ``/usr/bin``. Skips where apt or its package server is missing."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip(f"no apt-get and dpkg-deb to get {', '.join(packages)}")
    system = platform.freedesktop_os_release()
    key = " ".join([*packages, system.get("ID", ""), system.get("VERSION_ID", ""), platform.machine()])
    folder = CACHE / sha256(key.encode()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as made:
                _download(packages, Path(made))
                for package in Path(made).glob("*.deb"):
                    subprocess.run(["dpkg-deb", "-x", str(package), f"{made}/root"], check=True)
                (Path(made) / "root").rename(folder)
    return folder / "usr/bin"


def _download(packages: tuple[str, ...], folder: Path) -> None:
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=1", "download", *packages]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode != 0 and os.geteuid() == 0:
        # Container images of Debian contain no package lists.
        subprocess.run(["apt-get", "-qq", "update"], capture_output=True, check=False)
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        pytest.skip(f"{', '.join(packages)} cannot be downloaded here: {ended.stderr.strip()[-200:]}")
