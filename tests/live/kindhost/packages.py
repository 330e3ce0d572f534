"""The Debian packages of the recipe, installed by name where they are missing, without starting anything."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.cluster.local.packages import Package
from harness.cluster.local.progress import Progress
from harness.errors import ClusterBroken

PACKAGES = (Package("docker.io", "dockerd"), Package("docker.io", "docker"), Package("mmdebstrap", "mmdebstrap"))
POLICY = Path("/usr/sbin/policy-rc.d")


def ensure(progress: Progress) -> None:
    """Install what is missing. Raises ClusterBroken with apt's own words."""
    wanted = sorted({package.name for package in PACKAGES if not package.is_installed()})
    if not wanted:
        return
    progress(f"installing {', '.join(wanted)}")
    with _nothing_started():
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *wanted]):
            _apt(arguments)


@contextmanager
def _nothing_started() -> Iterator[None]:
    """Debian starts a daemon as soon as it is installed, in the machine's own network: not here."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _apt(arguments: list[str]) -> None:
    command = ["apt-get", "-q", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ClusterBroken(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr[-1000:]}")
