"""The Debian packages of the recipe, installed by name where they are missing, without starting anything."""

from __future__ import annotations

import os
import subprocess

from harness.cluster.local.packages import Package
from harness.common.errors import ClusterBroken
from harness.common.progress import Progress

PACKAGES = (Package("docker.io", "dockerd"), Package("docker.io", "docker"), Package("mmdebstrap", "mmdebstrap"))
# Debian starts a daemon as soon as it is installed, in the machine's own network, by one of two programs. Where apt
# runs they do nothing, and nowhere else: a mount namespace, of which nothing is left however apt or a test ends.
WITHOUT_STARTING = """
set -e
for starter in /usr/sbin/invoke-rc.d /usr/bin/deb-systemd-invoke; do
    [ ! -e "$starter" ] || mount --bind /bin/true "$starter"
done
exec "$@"
"""


def ensure(progress: Progress) -> None:
    """Install what is missing. Raises ClusterBroken with apt's own words."""
    wanted = sorted({package.name for package in PACKAGES if not package.is_installed()})
    if not wanted:
        return
    progress(f"installing {', '.join(wanted)}")
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *wanted]):
        _apt(arguments)


def _apt(arguments: list[str]) -> None:
    command = ["apt-get", "-q", *arguments]
    isolated = ["unshare", "--mount", "--propagation", "private", "sh", "-c", WITHOUT_STARTING, "sh", *command]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        isolated, env=environment, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise ClusterBroken(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr[-1000:]}")
